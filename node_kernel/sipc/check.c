/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdlib.h>

#include "work.h"

static void add_port(const struct protocols *p, struct flow_ports *ports,
                     const struct manifest_port *port, bool export)
{
    const struct ctc_contract *contract = ctc_find(p->ctc, port->contract);

    if (ports->port_count < FLOW_PORTS_MAX && contract != NULL) {
        ports->ports[ports->port_count++] = (struct flow_port){
            .name = port->name,
            .contract = ctc_table(contract),
            .export = export,
        };
    }
}

sf_status check_module(const uint8_t *bytes, size_t length, const struct protocols *p,
                       const struct manifest_source *source, const struct flow_report *report)
{
    struct flow_ports *ports = calloc(1, sizeof(*ports));
    struct flow_result result = {0};
    sf_status st;

    if (ports == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    for (size_t i = 0; i < source->import_count; i++) {
        add_port(p, ports, &source->imports[i], false);
    }
    for (size_t i = 0; i < source->export_count; i++) {
        add_port(p, ports, &source->exports[i], true);
    }
    for (size_t i = 0; i < ctc_contract_count(p->ctc) && ports->contract_count < FLOW_CONTRACTS_MAX;
         i++) {
        ports->contracts[ports->contract_count++] = ctc_table(ctc_contract(p->ctc, i));
    }
    ports->large = source->large;
    if (flow_check(bytes, length, ports, &result)) {
        st = flow_report(&result, report);
    } else {
        st = sipc_fail(SF_NOMEM, "no memory left");
    }
    flow_result_fini(&result);
    free(ports);
    return st;
}
