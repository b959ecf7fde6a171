/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: what starting a SIP is compared with. */
int main(void)
{
    return 7;
}
