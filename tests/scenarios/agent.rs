//! An identity from another agent's Workload API. The agent here is a second mwid, which says what SPIRE's agent says.
use crate::daemon::{Daemon, PATH, Place};
use testkit::guest_agent::Agent;
use testkit::pki::Leaf;

/// An agent, and a daemon that has its identity from there.
struct Pair {
    agent: Place,
    place: Place,
}

impl Pair {
    fn new(more: &str) -> Self {
        let (agent, place) = (Place::new(), Place::new());
        agent.config("");
        place.config_text(&format!(
            "identity:\n  source:\n    workload_api:\n      socket: unix://{}{more}\nruntime_dir: {}\n",
            agent.path("run/workload.sock").display(),
            place.path("run").display()
        ));
        Self { agent, place }
    }

    fn published(&self, leaf: &Leaf) -> bool {
        std::fs::read_to_string(self.place.published("certificates.pem"))
            .is_ok_and(|pem| pem == leaf.chain_pem)
    }
}

fn troubled(daemon: &mut Daemon, words: &str) {
    daemon.wait_for(words, |d| {
        d.status().is_some_and(|s| {
            let text = s["source"]["trouble"]["text"].as_str();
            text.is_some_and(|text| text.contains(words))
        })
    });
}

#[test]
fn an_identity_comes_from_another_agent_through_its_rotations_and_restarts() {
    let mut pair = Pair::new("");
    let checked = |pair: &Pair| String::from_utf8(pair.place.mwid(&["check", "--json"]).stdout).unwrap();
    assert!(checked(&pair).contains("agent_unreachable"));
    let mut daemon = pair.place.start();
    troubled(&mut daemon, "is its agent running");
    // An agent that has nothing yet says so, and is asked again.
    let agent = pair.agent.start();
    troubled(&mut daemon, "UNAVAILABLE");
    assert!(checked(&pair).contains("agent_not_ready"));
    let first = pair.agent.deliver_good();
    daemon.wait_generation(1);
    assert!(pair.published(&first));
    assert!(!checked(&pair).contains("agent_"), "{}", checked(&pair));
    let second = pair.agent.deliver_good();
    daemon.wait_generation(2);
    assert!(pair.published(&second));
    assert_eq!(daemon.status().unwrap()["source"]["kind"], "workload_api");
    // What is good stays in force while the agent is away.
    agent.stop();
    troubled(&mut daemon, "is its agent running");
    assert!(daemon.is_ready() && pair.published(&second));
    let third = pair.agent.deliver_good();
    let agent = pair.agent.start();
    daemon.wait_generation(3);
    assert!(pair.published(&third));
    agent.stop();
    daemon.stop();
}

#[test]
fn a_hint_that_no_svid_has_is_told_with_those_that_there_are() {
    let mut pair = Pair::new("\n      hint: internal");
    let agent = pair.agent.start();
    let leaf = pair.agent.world.leaf(PATH);
    pair.agent.deliver(Agent::Legacy, &leaf);
    let mut daemon = pair.place.start();
    troubled(&mut daemon, "no SVID with the hint \"internal\"");
    assert!(!daemon.is_ready());
    let checked = pair.place.mwid(&["check", "--json"]).stdout;
    assert!(
        String::from_utf8(checked)
            .unwrap()
            .contains("agent_has_no_such_hint")
    );
    agent.stop();
    daemon.stop();
}
