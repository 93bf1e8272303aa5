//! `identity.source.workload_api`: another agent's place.
use super::{refused, right};
use crate::config::{Endpoint, SourceSettings};

#[test]
fn another_agents_place_is_a_socket_or_an_address_of_this_machine() {
    for (text, socket, hint) in [
        (
            "{ socket: \"unix:///run/spire/sockets/agent.sock\" }",
            Endpoint::Unix("/run/spire/sockets/agent.sock".into()),
            None,
        ),
        (
            "{ socket: /run/spire.sock, hint: internal }",
            Endpoint::Unix("/run/spire.sock".into()),
            Some("internal"),
        ),
        (
            "{ socket: \"tcp://127.0.0.1:8081\" }",
            Endpoint::Tcp("127.0.0.1:8081".parse().unwrap()),
            None,
        ),
    ] {
        let settings = right(&format!("identity: {{ source: {{ workload_api: {text} }} }}"));
        let hint = hint.map(str::to_owned);
        assert_eq!(
            settings.identity.source,
            SourceSettings::WorkloadApi { socket, hint },
            "{text}"
        );
    }
}

#[test]
fn a_wrong_place_is_refused_and_so_is_our_own() {
    let wanted = "wanted a Workload API's place: unix:///PATH, or tcp://IP:PORT of this machine";
    let plain = "the private key would travel over the network in plain text";
    let ourselves = "wanted the Workload API of another agent; mwid would ask itself; name the other agent's socket, or move api.workload.socket";
    let none = "found no socket; wanted the agent's place; write { workload_api: { socket: \"unix:///run/spire/sockets/agent.sock\" } }";
    for (text, told) in [
        ("workload_api", format!("1:21: identity.source: {none}")),
        (
            "{ workload_api: {} }",
            format!("1:37: identity.source.workload_api: {none}"),
        ),
        (
            "{ workload_api: { socket: run/x } }",
            format!("1:47: identity.source.workload_api.socket: found \"run/x\"; {wanted}"),
        ),
        (
            "{ workload_api: { socket: \"tcp://10.0.0.1:80\" } }",
            format!("1:47: identity.source.workload_api.socket: found \"tcp://10.0.0.1:80\"; {wanted}; {plain}"),
        ),
        (
            "{ workload_api: { socket: \"tcp://[::1]:0\" } }",
            format!(
                "1:47: identity.source.workload_api.socket: found \"tcp://[::1]:0\"; {wanted}; nobody listens at port 0"
            ),
        ),
        (
            "{ workload_api: { socket: /x, hint: \"\" } }",
            "1:57: identity.source.workload_api.hint: found an empty text; wanted the hint of one of the agent's SVIDs, such as internal"
                .to_owned(),
        ),
        (
            "{ workload_api: { socket: /run/mwid/workload.sock } }",
            format!(
                "1:47: identity.source.workload_api.socket: found unix:///run/mwid/workload.sock, which is api.workload; {ourselves}"
            ),
        ),
    ] {
        refused(&[(
            &format!("identity: {{ source: {text} }}"),
            &[told.as_str()],
        )]);
    }
}
