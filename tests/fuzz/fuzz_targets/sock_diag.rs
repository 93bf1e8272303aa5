//! What is read as a socket is about the asked-for addresses and nothing else. The input is patched to be such an answer if its first byte
//! is odd, so that the parts behind the addresses are reached, too.
#![no_main]
use libfuzzer_sys::fuzz_target;
use sock_diag::{End, Reply};

#[path = "../../../agent/mwid/src/caller/evidence/sock_diag/mod.rs"]
mod sock_diag;

const SEQUENCE: u32 = 7;

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else {
        return;
    };
    let end = End {
        own: "127.0.0.1:40000".parse().unwrap(),
        other: "127.0.0.1:8174".parse().unwrap(),
    };
    let request = sock_diag::request(SEQUENCE, &end).unwrap();
    let mut message = input.to_vec();
    if choice % 2 == 1 && message.len() >= 88 {
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&20_u16.to_ne_bytes());
        message[8..12].copy_from_slice(&SEQUENCE.to_ne_bytes());
        message[16] = 2;
        message[20..56].copy_from_slice(&request[24..60]);
    }
    if let Ok(Reply::Socket(_)) = sock_diag::parse(&message, SEQUENCE, &end) {
        let is_ipv4 = message[16] == 2;
        assert_eq!(message[20..24], request[24..28], "the ports");
        if is_ipv4 {
            assert_eq!(
                (&message[24..28], &message[40..44]),
                (&request[28..32], &request[44..48])
            );
        } else {
            assert_eq!(
                (&message[36..40], &message[52..56]),
                (&request[28..32], &request[44..48])
            );
        }
        let reversed = End {
            own: end.other,
            other: end.own,
        };
        assert!(sock_diag::parse(&message, SEQUENCE, &reversed).is_err());
        assert!(sock_diag::parse(&message, SEQUENCE + 1, &end).is_err());
    }
});
