//! What the kernel answers, and what nobody should believe.
use super::*;

/// What Linux 6.18 answered about an IPv4 connection, and the same of one by an IPv6 socket.
fn answer(family: u8, cgroup: u64) -> Vec<u8> {
    let mut body = vec![family, ESTABLISHED, 0, 0, 0xda, 0x9a, 0xc0, 0xef];
    for _ in 0..2 {
        let octets: [u8; 16] = match family {
            AF_INET => on_the_wire(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
        };
        body.extend(octets);
    }
    for number in [0_u32, 1, 0, 0, 0, 0, 1000, 989_097] {
        body.extend(number.to_ne_bytes());
    }
    let attributes: [(u16, &[u8]); 4] = [
        (8, &[0]),
        (15, &[0; 4]),
        (CGROUP_ID, &cgroup.to_ne_bytes()),
        (22, &[0x52, 0]),
    ];
    for (kind, value) in attributes {
        body.extend((4 + u16::try_from(value.len()).unwrap()).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    message(SOCK_DIAG_BY_FAMILY, 7, &body)
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![];
    message.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(4711_u32.to_ne_bytes());
    message.extend(body);
    message
}

fn end() -> End {
    End {
        own: "127.0.0.1:55962".parse().unwrap(),
        other: "127.0.0.1:49391".parse().unwrap(),
    }
}

#[test]
fn an_answer_is_read() {
    let socket = Socket {
        state: ESTABLISHED,
        uid: 1000,
        inode: 989_097,
        cgroup: Some(0x1_0000_0002),
    };
    for family in [AF_INET, AF_INET6] {
        let whole = answer(family, 0x1_0000_0002);
        assert_eq!(whole.len(), 124);
        assert_eq!(parse(&whole, 7, &end()), Ok(Reply::Socket(socket)));
        // An older kernel, without the attributes.
        let mut bare = whole[..HEADER + FIXED].to_vec();
        bare[..4].copy_from_slice(&u32::try_from(HEADER + FIXED).unwrap().to_ne_bytes());
        assert_eq!(
            parse(&bare, 7, &end()),
            Ok(Reply::Socket(Socket {
                cgroup: None,
                ..socket
            }))
        );
    }
}

#[test]
fn an_answer_to_another_question_is_none() {
    let whole = answer(AF_INET, 1);
    assert_eq!(
        parse(&whole, 8, &end()),
        Err(Malformed::Sequence { asked: 8, found: 7 })
    );
    let reversed = End {
        own: end().other,
        other: end().own,
    };
    assert_eq!(parse(&whole, 7, &reversed), Err(Malformed::OtherSocket));
    for at in [20, 22, 24, 40] {
        let mut other = whole.clone();
        other[at] ^= 1;
        assert_eq!(parse(&other, 7, &end()), Err(Malformed::OtherSocket), "byte {at}");
    }
    let mut unix = whole.clone();
    unix[16] = 1;
    assert_eq!(parse(&unix, 7, &end()), Err(Malformed::OtherSocket));
    assert_eq!(parse(&message(3, 7, &[]), 7, &end()), Err(Malformed::Kind(3)));
    // One that listens.
    let mut listens = whole;
    listens[22..24].fill(0);
    listens[40..56].fill(0);
    assert_eq!(parse(&listens, 7, &end()), Ok(Reply::None));
}

#[test]
fn an_error_is_read() {
    assert_eq!(
        parse(&message(NLMSG_ERROR, 7, &(-2_i32).to_ne_bytes()), 7, &end()),
        Ok(Reply::None)
    );
    assert_eq!(
        parse(&message(NLMSG_ERROR, 7, &(-1_i32).to_ne_bytes()), 7, &end()),
        Ok(Reply::Refused(1))
    );
    assert!(parse(&message(NLMSG_ERROR, 7, &i32::MIN.to_ne_bytes()), 7, &end()).is_ok());
    assert_eq!(
        parse(&message(NLMSG_ERROR, 7, &[0; 3]), 7, &end()),
        Err(Malformed::Short)
    );
}

#[test]
fn a_short_answer_is_refused_wherever_it_ends() {
    let whole = answer(AF_INET, 5);
    for length in 0..whole.len() {
        assert_eq!(
            parse(&whole[..length], 7, &end()),
            Err(Malformed::Short),
            "the datagram ends at {length}"
        );
    }
    for length in 0..HEADER + FIXED {
        let mut says_less = whole.clone();
        says_less[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        assert_eq!(
            parse(&says_less, 7, &end()),
            Err(Malformed::Short),
            "it says {length}"
        );
    }
    let mut endless = whole;
    endless[HEADER + FIXED..HEADER + FIXED + 2].fill(0);
    assert_eq!(
        parse(&endless, 7, &end()),
        Err(Malformed::Short),
        "an attribute of no length"
    );
}

#[test]
fn a_request_is_as_the_kernel_wants_it() {
    let bytes = request(9, &end()).unwrap();
    assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
    assert_eq!(bytes[16..20], [AF_INET, IPPROTO_TCP, 0, 0]);
    assert_eq!(bytes[24..28], [0xda, 0x9a, 0xc0, 0xef], "ports in network order");
    assert_eq!(bytes[28..32], [127, 0, 0, 1]);
    assert_eq!(bytes[44..48], [127, 0, 0, 1]);
    assert_eq!(bytes[60..64], 1_u32.to_ne_bytes());
    let mixed = End {
        own: "[::1]:1".parse().unwrap(),
        ..end()
    };
    assert_eq!(request(9, &mixed), None);
}
