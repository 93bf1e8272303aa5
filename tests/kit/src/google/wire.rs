//! HTTP/1.1 as the endpoints take it: one request a connection, read whole.
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST`.
    pub method: String,
    /// With its query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    /// A JSON document.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string()).with("Content-Type", "application/json; charset=UTF-8")
    }

    /// Any body.
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![],
            body: body.to_owned(),
        }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn send(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} x\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}Connection: close\r\n\r\n{}", self.body).as_bytes())
    }
}

impl Asked {
    pub(super) fn read(stream: &TcpStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream).take(1024 * 1024);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            Ok::<_, std::io::Error>(line.trim_end().to_owned())
        };
        let first = line()?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Self {
            method,
            target,
            headers,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// The fields of a form, each once; why it is none.
    pub fn form(&self) -> Result<BTreeMap<String, String>, String> {
        if self.header("content-type") != "application/x-www-form-urlencoded" {
            return Err(format!("content-type {}", self.header("content-type")));
        }
        let mut fields = BTreeMap::new();
        for pair in self.body.split('&') {
            let (name, value) = pair.split_once('=').ok_or("a field without =")?;
            if fields.insert(unescaped(name)?, unescaped(value)?).is_some() {
                return Err(format!("{name} twice"));
            }
        }
        Ok(fields)
    }

    /// A header's value; empty: not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut out = vec![];
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = [bytes.next(), bytes.next()].map(Option::unwrap_or_default);
                let hex = std::str::from_utf8(&hex).map_err(|e| e.to_string())?;
                out.push(u8::from_str_radix(hex, 16).map_err(|e| e.to_string())?);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' => out.push(byte),
            other => return Err(format!("{:?} is not escaped", char::from(other))),
        }
    }
    String::from_utf8(out).map_err(|e| e.to_string())
}
