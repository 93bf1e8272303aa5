//! The PROXY protocol on both sides of a route: who really came is believed and told.
use super::strangers::{self, TLS13};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Of version 2: what follows the header's first twelve bytes, cut into its parts.
async fn header(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first[..12], b"\r\n\r\n\0\r\nQUIT\n");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([first[14], first[15]]))];
    stream.read_exact(&mut rest).await.unwrap();
    (first[12], first[13], rest)
}

/// Type, length, value.
fn tlvs(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = vec![];
    while let [kind, high, low, rest @ ..] = bytes {
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        all.push((*kind, value));
        bytes = rest;
    }
    all
}

#[tokio::test]
async fn the_application_is_told_who_came_before_its_first_byte() {
    let here = World::new(HERE);
    let leaf = here.leaf("/a");
    for how in ["v2", "v2_tls"] {
        let app = App::start().await;
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&format!(
            "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], send_proxy: {how}, alpn: [h2] }}",
            app.address
        ));
        let mut config = strangers::client(Some(&leaf), TLS13);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = strangers::connect(listen, config).await.unwrap();
        let from = client.get_ref().0.local_addr().unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut server = app.accept().await;
        let (command, family, rest) = header(&mut server).await;
        assert_eq!((command, family), (0x21, 0x11));
        assert_eq!(rest[..8], [127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(rest[8..10], from.port().to_be_bytes());
        assert_eq!(rest[10..12], listen.port().to_be_bytes());
        let told = tlvs(&rest[12..]);
        if how == "v2" {
            assert!(told.is_empty());
        } else {
            let [(0x01, b"h2"), (0x20, ssl), (0xe0, b"spiffe://here.test/a")] = told[..] else {
                panic!("{told:?}")
            };
            assert_eq!(ssl[..5], [7, 0, 0, 0, 0], "TLS, with a certificate, verified");
            assert_eq!(tlvs(&ssl[5..]), [(0x21, &b"TLSv1.3"[..]), (0x28, &leaf.leaf_der)]);
        }
        let mut got = [0; 4];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        // The header is not the peer's.
        site.wait("in", "four bytes", |status| status.received == 4).await;
    }
}

/// Connects as a load balancer does for who came from 203.0.113.9.
async fn balanced(
    listen: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut tcp = TcpStream::connect(listen).await?;
    tcp.write_all(b"PROXY TCP4 203.0.113.9 198.51.100.7 4242 443\r\n")
        .await?;
    let name = pki_types::ServerName::try_from("any.test").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await
}

#[tokio::test]
async fn a_load_balancer_is_believed_where_the_route_says_so_and_nobody_else_comes_in_there() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], accept_proxy: true, send_proxy: v2 }}",
        app.address
    ));
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let mut client = balanced(listen, &config).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    let mut server = app.accept().await;
    let (_, family, rest) = header(&mut server).await;
    let told = [
        &[203, 0, 113, 9, 198, 51, 100, 7][..],
        &4242_u16.to_be_bytes(),
        &443_u16.to_be_bytes(),
    ];
    assert_eq!(
        (family, rest),
        (0x11, told.concat()),
        "both ends as the load balancer has them"
    );
    // Without a header.
    assert!(strangers::connect(listen, config).await.is_err());
    assert_eq!(site.refusal("in").await, "proxy_header");
}

#[tokio::test]
async fn a_header_is_refused_that_comes_from_no_load_balancer() {
    let here = World::new(HERE);
    let app = App::start().await;
    for (from, is_let_in) in [
        ("10.0.0.0/8", false),
        ("127.0.0.2", false),
        ("127.0.0.0/8", true),
        ("::ffff:127.0.0.1", true),
    ] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&format!(
            "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], accept_proxy: {{ from: [\"{from}\"] }} }}",
            app.address
        ));
        let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
        let client = balanced(listen, &config).await;
        assert_eq!(client.is_ok(), is_let_in, "{from}");
        if !is_let_in {
            assert_eq!(site.refusal("in").await, "not_a_balancer", "{from}");
        }
    }
}
