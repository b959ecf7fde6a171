-- SPDX-License-Identifier: Apache-2.0
-- Other.lua - contract Other for Wireshark. Written by contractc; do not change.
-- wireshark -X lua_script:Other.lua; one -X for each contract.

-- What all contracts share; the first of these files that is loaded makes it.
if not _G.sipfabric then
    local sipfabric = { by_id = {}, by_short_id = {} }

    _G.sipfabric = sipfabric

    local proto = Proto("sipfabric", "sipfabric")
    local kinds = { [0] = "control", [1] = "records", [2] = "hello" }
    local records = { [1] = "OPEN", [2] = "MSG", [3] = "DATA", [4] = "CLOSE", [5] = "ARRIVED",
        [6] = "PEER_MOVED", [7] = "PEER_HERE", [8] = "MOVED_ACK", [9] = "REFER",
        [10] = "TAKEN", [11] = "UNREAD", [12] = "HOLD", [13] = "HELD", [14] = "UNHOLD",
        [15] = "RELEASED", [16] = "NOW_HERE", [17] = "AWAITED", [18] = "DROPPED",
        [19] = "MOVE_OVER" }
    local causes = { [0] = "open", "closed by peer", "peer exited", "peer faulted",
        "contract violated", "node lost", "link lost", "revoked", "quota", "image refused",
        "shutdown", "no exporter of that name and contract" }
    local scalars = { [0] = { 1, "bool" }, { 1, "int8", true }, { 1, "uint8" }, { 2, "int16", true },
        { 2, "uint16" }, { 4, "int32", true }, { 4, "uint32" }, { 8, "int64", true },
        { 8, "uint64" }, { 4, "float32" }, { 8, "float64" } }
    local BLOCK, ENDPOINT = 11, 12

    local f = {
        version = ProtoField.uint8("sipfabric.version", "Version", base.DEC, nil, 0xf0),
        kind = ProtoField.uint8("sipfabric.kind", "Kind", base.DEC, kinds, 0x0f),
        words = ProtoField.uint8("sipfabric.sack_words", "Words of selective ack"),
        hold = ProtoField.uint16("sipfabric.hold_us", "Hold (us)"),
        number = ProtoField.uint64("sipfabric.number", "Number"),
        hello_flags = ProtoField.uint8("sipfabric.hello.flags", "Flags", base.HEX),
        mtu = ProtoField.uint16("sipfabric.mtu", "MTU"),
        ciphers = ProtoField.uint8("sipfabric.ciphers", "Ciphers", base.HEX),
        handshake = ProtoField.bytes("sipfabric.handshake", "Handshake"),
        sealed = ProtoField.bytes("sipfabric.sealed", "Sealed records"),
        seal = ProtoField.bytes("sipfabric.seal", "Authentication tag"),
        source = ProtoField.uint16("sipfabric.source", "Source node"),
        target = ProtoField.uint16("sipfabric.target", "Target node"),
        source_epoch = ProtoField.uint16("sipfabric.source_epoch", "Source epoch"),
        target_epoch = ProtoField.uint16("sipfabric.target_epoch", "Target epoch"),
        source_session = ProtoField.uint32("sipfabric.source_session", "Source session"),
        target_session = ProtoField.uint32("sipfabric.target_session", "Target session"),
        sequence = ProtoField.uint32("sipfabric.sequence", "Sequence"),
        ack = ProtoField.uint32("sipfabric.ack", "Ack"),
        sack = ProtoField.uint64("sipfabric.sack", "Selective ack", base.HEX),
        again = ProtoField.bool("sipfabric.again", "Sent again"),
        record = ProtoField.uint8("sipfabric.record", "Record", base.DEC, records),
        flags = ProtoField.uint8("sipfabric.flags", "Flags", base.HEX),
        body = ProtoField.uint16("sipfabric.body_bytes", "Body bytes"),
        endpoint = ProtoField.uint64("sipfabric.endpoint", "Endpoint", base.HEX),
        contract = ProtoField.string("sipfabric.contract", "Contract"),
        export = ProtoField.string("sipfabric.export", "Export"),
        side = ProtoField.string("sipfabric.side", "Side"),
        tag = ProtoField.uint8("sipfabric.tag", "Tag"),
        message = ProtoField.string("sipfabric.message", "Message"),
        sender = ProtoField.string("sipfabric.sender", "Sent by"),
        state = ProtoField.string("sipfabric.state", "In state"),
        next = ProtoField.string("sipfabric.next", "Next state"),
        arg = ProtoField.string("sipfabric.arg", "Argument"),
        data = ProtoField.bytes("sipfabric.data", "Data"),
        cause = ProtoField.string("sipfabric.cause", "Cause"),
        node = ProtoField.uint16("sipfabric.node", "Node"),
    }
    local list = {}
    for _, field in pairs(f) do list[#list + 1] = field end
    proto.fields = list
    local malformed = ProtoExpert.new("sipfabric.malformed", "Malformed", expert.group.MALFORMED,
        expert.severity.ERROR)
    local illegal = ProtoExpert.new("sipfabric.illegal", "The contract does not allow this here",
        expert.group.PROTOCOL, expert.severity.WARN)
    proto.experts = { malformed, illegal }

    -- Endpoints by id: { channel, side }. A channel: { contract, state }. Sessions by the address
    -- that frames of it go to and the number there: { source, target, sealed }, from hellos. All
    -- grow in the first pass over the frames; what was found then is kept for each in `seen`.
    local endpoints, sessions, taken, seen
    local NOBODY = "0000000000000000" -- an endpoint that is none: a trace begins here

    function proto.init()
        endpoints, sessions, taken, seen = {}, {}, {}, {}
    end

    local function hex(range)
        return range:bytes():tohex()
    end

    local function remember(contract, state, importer, exporter)
        local channel = { contract = contract, state = state }
        endpoints[importer] = { channel = channel, side = 0 }
        endpoints[exporter] = { channel = channel, side = 1 }
    end

    local function cause_text(range)
        return causes[range(0, 1):uint()] or ("cause " .. range(0, 1):uint())
    end

    local function read_scalar(kind, range)
        local size, name = scalars[kind][1], scalars[kind][2]
        if name == "bool" then return range:uint() ~= 0 and "true" or "false" end
        if name == "float32" or name == "float64" then return tostring(range:le_float()) end
        if size == 8 then
            return tostring(scalars[kind][3] and range:le_int64() or range:le_uint64())
        end
        return tostring(scalars[kind][3] and range:le_int() or range:le_uint())
    end

    local function scalar_text(kind, range, declared)
        local text = read_scalar(kind, range)
        local values = declared and declared.values
        if values and values[text] then text = values[text] .. " (" .. text .. ")" end
        return text
    end

    -- Answers the argument's text and its length.
    local function read_argument(body, at, declared, first)
        local kind = body(at, 1):uint()
        if scalars[kind] then
            local size = scalars[kind][1]
            return scalar_text(kind, body(at + 1, size), declared), 1 + size
        elseif kind == BLOCK then
            local length = body(at + 1, 4):le_uint()
            return length == 0 and "absent" or ("block of " .. length .. " bytes"), 5
        elseif kind == ENDPOINT then
            local id = hex(body(at + 1, 8))
            if id == NOBODY then return "absent", 9 end
            local contract = sipfabric.by_short_id[hex(body(at + 17, 8))]
            local side, state = body(at + 27, 1):uint(), body(at + 28, 1):uint()
            local peer = hex(body(at + 9, 8))
            local begins = hex(body(0, 8)) == NOBODY
            if first and (begins or not endpoints[id]) then
                remember(contract, state, side == 0 and id or peer, side == 0 and peer or id)
            end
            local where = contract and contract.states[state]
            return (contract and contract.name or "endpoint of an unknown contract") ..
                (side == 0 and ".Imp:" or ".Exp:") .. (where and where.name or state), 34
        end
        error("unknown kind of argument")
    end

    -- What is known of a message when it is sent; found once, in the first pass.
    local function follow(body)
        local target = endpoints[hex(body(0, 8))]
        local tag = body(8, 1):uint()
        if not target or not target.channel.contract then return {} end
        local channel = target.channel
        local contract = channel.contract
        local found = { contract = contract, message = contract.messages[tag], sender = 1 - target.side }
        local state = channel.state and contract.states[channel.state]
        if state then
            found.state = state.name
            local to = state.sender == found.sender and state.next[tag]
            if to then
                found.next = contract.states[to].name
            else
                found.illegal = true
            end
            channel.state = to or nil
        end
        return found
    end

    local function show_message(body, tree, found, first, compact)
        tree:add_le(f.endpoint, body(0, 8))
        tree:add(f.tag, body(8, 1))
        local message = found.message
        if found.contract then
            tree:add(f.contract, body(0, 8), found.contract.name)
            tree:add(f.sender, body(0, 8), found.sender == 0 and "importer" or "exporter")
        end
        local name = message and message.name or ("tag " .. body(8, 1):uint())
        if hex(body(0, 8)) == NOBODY then name = "(trace begins)" end
        tree:add(f.message, body(8, 1), name)
        if found.state then tree:add(f.state, body(8, 1), found.state) end
        if found.next then tree:add(f.next, body(8, 1), found.next) end
        if found.illegal then tree:add_proto_expert_info(illegal) end
        local at, texts = 10, {}
        local function show(i, declared, text, length)
            text = (declared and declared.name or ("argument " .. i)) .. " " .. text
            tree:add(f.arg, body(at, length), text)
            texts[#texts + 1] = text
            at = at + length
        end
        if compact and not message then
            if body:len() > 9 then tree:add(f.data, body(9)) end
            texts[1] = "of an unknown contract"
        elseif compact then
            at = 9
            for i, declared in ipairs(message.args) do
                local size = scalars[declared.kind][1]
                show(i, declared, scalar_text(declared.kind, body(at, size), declared), size)
            end
        else
            for i = 1, body(9, 1):uint() do
                local declared = message and message.args[i]
                show(i, declared, read_argument(body, at, declared, first))
            end
        end
        tree:append_text(": " .. name .. "(" .. table.concat(texts, ", ") .. ")")
        return name
    end

    -- Answers what the list of packets says of the record.
    local function show_record(kind, flags, body, tree, found, first)
        if kind == 1 then
            local contract = sipfabric.by_id[hex(body(16, 32))]
            local export = body(48):string()
            if first then
                remember(contract, contract and 0, hex(body(0, 8)), hex(body(8, 8)))
            end
            tree:add_le(f.endpoint, body(0, 8)):append_text(" (importer)")
            tree:add_le(f.endpoint, body(8, 8)):append_text(" (exporter)")
            tree:add(f.contract, body(16, 32), contract and contract.name or hex(body(16, 32)))
            tree:add(f.export, body(48), export)
            return "OPEN " .. export
        elseif kind == 2 then
            return show_message(body, tree, found, first, flags == 1)
        end
        tree:add_le(f.endpoint, body(0, 8))
        if kind == 3 then
            tree:add(f.data, body(8))
        elseif kind == 4 or kind == 5 then
            local text = cause_text(body(8, 4))
            tree:add(f.cause, body(8, 4), text)
            return records[kind] .. " " .. text
        elseif kind == 6 then
            tree:add_le(f.endpoint, body(8, 8))
            tree:add_le(f.node, body(16, 2))
        elseif kind == 7 then
            tree:add_le(f.endpoint, body(8, 8))
        end
        return records[kind] or "unknown"
    end

    local function show_records(payload, tree, known, first)
        local at, number, texts = 0, 0, {}
        while at < payload:len() do
            local kind, length = payload(at, 1):uint(), payload(at + 2, 2):le_uint()
            local body = payload(at + 4, length)
            local branch = tree:add(f.record, payload(at, 1))
            branch:set_len(4 + length)
            branch:add(f.flags, payload(at + 1, 1))
            branch:add_le(f.body, payload(at + 2, 2))
            number = number + 1
            if first then known[number] = kind == 2 and follow(body) or {} end
            texts[#texts + 1] = show_record(kind, payload(at + 1, 1):uint(), body, branch,
                known[number] or {}, first)
            at = at + 4 + length
        end
        return table.concat(texts, ", ")
    end

    local function show_header(tvb, tree)
        tree:add(f.version, tvb(0, 1))
        tree:add(f.kind, tvb(0, 1))
        tree:add(f.words, tvb(1, 1))
        tree:add_le(f.hold, tvb(2, 2))
        tree:add_le(f.target_session, tvb(4, 4))
        tree:add_le(f.number, tvb(8, 8))
        tree:add_le(f.sequence, tvb(16, 4))
        tree:add_le(f.ack, tvb(20, 4))
        for word = 0, tvb(1, 1):uint() - 1 do tree:add_le(f.sack, tvb(24 + 8 * word, 8)) end
    end

    -- Who sends this number to that address: numbers count each peer's sessions.
    local function session_key(address, peer, range)
        return tostring(address) .. " " .. tostring(peer) .. " " .. hex(range)
    end

    local function show_hello(tvb, pinfo, tree, first)
        local flags = tvb(1, 1):uint()
        tree:add(f.version, tvb(0, 1))
        tree:add(f.kind, tvb(0, 1))
        tree:add(f.hello_flags, tvb(1, 1))
        tree:add_le(f.mtu, tvb(2, 2))
        tree:add_le(f.source, tvb(4, 2))
        tree:add_le(f.target, tvb(6, 2))
        tree:add_le(f.source_epoch, tvb(8, 2))
        tree:add_le(f.target_epoch, tvb(10, 2))
        tree:add_le(f.source_session, tvb(12, 4))
        tree:add_le(f.target_session, tvb(16, 4))
        tree:add(f.ciphers, tvb(20, 1))
        if tvb:len() > 24 then tree:add(f.handshake, tvb(24)) end
        if first then -- frames of the session go to who says this hello
            sessions[session_key(pinfo.src, pinfo.dst, tvb(12, 4))] = {
                source = tvb(6, 2):le_uint(), target = tvb(4, 2):le_uint(),
                sealed = math.floor(flags / 2) % 2 == 1 }
        end
        return "hello, node " .. tvb(4, 2):le_uint() .. " to " .. tvb(6, 2):le_uint()
    end

    -- Answers what the list of packets says, or nil: it makes no sense.
    local function show_payload(tvb, pinfo, tree, known, first)
        local at = 24 + 8 * tvb(1, 1):uint()
        local session = known.session
        if tvb:len() <= at then return nil end
        if session and session.sealed then
            if tvb:len() <= at + 16 then return nil end
            tree:add(f.sealed, tvb(at, tvb:len() - at - 16))
            tree:add(f.seal, tvb(tvb:len() - 16, 16))
            return "sealed records"
        end
        if known.again then tree:add(f.again, tvb(16, 4), true) end
        local right, info = pcall(show_records, tvb(at):tvb(), tree, known.again or known,
            first and not known.again)
        return right and info or nil
    end

    local function show_frame(tvb, pinfo, tree)
        local kind = tvb(0, 1):uint() % 16
        local known = seen[pinfo.number]
        local first = known == nil
        if kind == 2 then
            seen[pinfo.number] = known or {}
            return show_hello(tvb, pinfo, tree, first)
        end
        if first then
            local key = session_key(pinfo.dst, pinfo.src, tvb(4, 4))
            local sent = key .. " " .. hex(tvb(16, 4))
            known = { session = sessions[key] }
            if kind == 1 then
                known.again = taken[sent]
                taken[sent] = taken[sent] or known
            end
            seen[pinfo.number] = known
        end
        show_header(tvb, tree)
        if known.session then
            tree:add(f.source, tvb(4, 4), known.session.source):set_generated()
            tree:add(f.target, tvb(4, 4), known.session.target):set_generated()
        end
        if kind == 0 then
            return tvb:len() == 24 + 8 * tvb(1, 1):uint() + (known.session and known.session.sealed
                and 16 or 0) and "control" or nil
        end
        return show_payload(tvb, pinfo, tree, known, first)
    end

    function proto.dissector(tvb, pinfo, root)
        if tvb:len() < 24 or tvb(0, 1):uint() < 0x20 or tvb(0, 1):uint() > 0x22 then return 0 end
        pinfo.cols.protocol = "sipfabric"
        local tree = root:add(proto, tvb())
        local right, info = pcall(show_frame, tvb, pinfo, tree)
        if not right or not info then tree:add_proto_expert_info(malformed) end
        pinfo.cols.info = right and info or "malformed"
        return tvb:len()
    end

    DissectorTable.get("udp.port"):add(7701, proto)
end

do
    local contract = {
        name = "Other",
        messages = {
            [0] = { name = "Ask", args = {
            } },
            [1] = { name = "Hello", args = {
            } },
            [2] = { name = "Tell", args = {
                { name = "who", kind = 12 },
            } },
        },
        states = {
            [0] = { name = "Start", sender = 0, next = { [0] = 1, } },
            [1] = { name = "Start.1", sender = 1, next = { [2] = 0, } },
            [2] = { name = "Talking", sender = 1, next = { [1] = 0, } },
        },
    }
    _G.sipfabric.by_id["03B539C4BAF16AFE986E75DD5C5F14478D876F0C7C7322845CF839723F811C7C"] = contract
    _G.sipfabric.by_short_id["03B539C4BAF16AFE"] = contract
end
