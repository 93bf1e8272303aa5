//! The application behind both proxies, in a process of its own. A question is a letter and a length of eight bytes: `E` and so many bytes are sent back,
//! so many bytes after `S` are taken and answered by one byte, after `G` so many are given.
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) const ARGUMENT: &str = "--application";
/// As many may wait to be accepted.
const QUEUE: u32 = 4096;

/// A question's head.
pub(crate) fn question(letter: u8, length: u64) -> Vec<u8> {
    let mut head = vec![letter];
    head.extend(length.to_be_bytes());
    head
}

pub(crate) fn run(listen: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(listen).unwrap();
        let listener = socket.listen(QUEUE).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A connection that breaks is the other side's to report.
            tokio::spawn(async move { answer(stream).await.ok() });
        }
    });
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        }
        let mut left = usize::try_from(u64::from_be_bytes(head[1..].try_into().unwrap())).unwrap();
        // Only as long as the answer takes: idle connections hold nothing here.
        let mut buffer = vec![0; left.min(256 * 1024)];
        match head[0] {
            b'E' => {
                stream.read_exact(&mut buffer).await?;
                stream.write_all(&buffer).await?;
            }
            b'S' => {
                while left > 0 {
                    let most = buffer.len().min(left);
                    match stream.read(&mut buffer[..most]).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => left -= n,
                    }
                }
                stream.write_all(b"K").await?;
            }
            b'G' => {
                while left > 0 {
                    let now = buffer.len().min(left).min(64 * 1024);
                    stream.write_all(&buffer[..now]).await?;
                    left -= now;
                }
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
