//! Answers as bytes.
//!
//! In: what is to be answered. Out: one message in its frame, in pieces. Never encodes a secret, nor copies one: those are encoded once for all
//! streams, which share the bytes, and stand behind the stream's own fields (protobuf messages can be joined so). What is a stream's own is no secret.
use super::secrets::{Missing, Secret};
use super::session::Answer;
use crate::grpc::{Joint, Pieces};
use crate::proto::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, ResourceError, ResourceName,
};
use crate::proto::google::rpc;
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use std::sync::Arc;

/// The one type of resource that there is.
pub(super) const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Codes of google.rpc.Status.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;

/// An answer of `StreamSecrets` and `FetchSecrets`.
pub(super) fn sotw(answer: &Answer) -> Pieces {
    let head = DiscoveryResponse {
        version_info: answer.version.to_string(),
        resources: vec![],
        type_url: SECRET_TYPE.to_owned(),
        nonce: answer.nonce.clone(),
        resource_errors: errors(&answer.missing),
    };
    let resources: Vec<Any<'_>> = answer.found.iter().map(Any::of).collect();
    let size = head.encoded_len() + resources.iter().map(|any| nested_len(any.len())).sum::<usize>();
    let mut out = Pieces::of_length(size);
    head.encode_raw(out.own());
    for any in resources {
        open(out.own(), 2, any.len());
        any.put(&mut out);
    }
    out.done()
}

/// An answer of `DeltaSecrets`.
pub(super) fn delta(answer: &Answer) -> Pieces {
    let removed = answer.missing.iter().map(|(name, _)| name).chain(&answer.removed);
    let head = DeltaDiscoveryResponse {
        system_version_info: answer.version.to_string(),
        resources: vec![],
        type_url: SECRET_TYPE.to_owned(),
        nonce: answer.nonce.clone(),
        removed_resources: removed.map(ToString::to_string).collect(),
        resource_errors: errors(&answer.missing),
    };
    let resources: Vec<Any<'_>> = answer.found.iter().map(Any::of).collect();
    let len = |any: &Any<'_>| text_len(&any.secret.version) + nested_len(any.len()) + text_len(any.name);
    let size = head.encoded_len() + resources.iter().map(|any| nested_len(len(any))).sum::<usize>();
    let mut out = Pieces::of_length(size);
    head.encode_raw(out.own());
    for any in resources {
        let own = out.own();
        open(own, 2, len(&any));
        put_text(own, 1, &any.secret.version);
        put_text(own, 3, any.name);
        open(own, 2, any.len());
        any.put(&mut out);
    }
    out.done()
}

fn errors(missing: &[(Arc<str>, Missing)]) -> Vec<ResourceError> {
    let error = |(name, why): &(Arc<str>, Missing)| ResourceError {
        resource_name: Some(ResourceName {
            name: name.to_string(),
        }),
        error_detail: Some(rpc::Status {
            code: if why.is_for_good() {
                INVALID_ARGUMENT
            } else {
                NOT_FOUND
            },
            message: why.to_string(),
        }),
    };
    missing.iter().map(error).collect()
}

/// `google.protobuf.Any` with a `Secret` in it: `type_url` 1, `value` 2; in the value, `name` 1 and the shared body.
struct Any<'a> {
    name: &'a str,
    secret: &'a Secret,
}

impl<'a> Any<'a> {
    fn of((name, secret): &'a (Arc<str>, Arc<Secret>)) -> Self {
        Self { name, secret }
    }

    fn secret_len(&self) -> usize {
        text_len(self.name) + self.secret.body.len()
    }

    fn len(&self) -> usize {
        text_len(SECRET_TYPE) + nested_len(self.secret_len())
    }

    fn put(&self, out: &mut Joint) {
        let own = out.own();
        put_text(own, 1, SECRET_TYPE);
        open(own, 2, self.secret_len());
        put_text(own, 1, self.name);
        out.share(&self.secret.body);
    }
}

/// A field of this many bytes, with its key and its length before it.
fn nested_len(len: usize) -> usize {
    1 + length_delimiter_len(len) + len
}

/// As protobuf has it, an empty text is left out.
fn text_len(text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        nested_len(text.len())
    }
}

/// The key and the length of a field; all of ours have numbers below 16, whose keys are one byte.
fn open(out: &mut Vec<u8>, field: u8, len: usize) {
    const LENGTH_DELIMITED: u8 = 2;
    out.push(field << 3 | LENGTH_DELIMITED);
    // Writing to a Vec cannot fail: it has room for ever.
    let _ = encode_length_delimiter(len, out);
}

fn put_text(out: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        open(out, field, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::envoy::extensions::transport_sockets::tls::v3 as tls;
    use crate::proto::envoy::service::discovery::v3::Resource;
    use prost_types::Any as AnyMessage;

    /// Stands for a secret: the field that Envoy calls tls_certificate, of any length.
    fn secret(version: &str, bytes: usize) -> Arc<Secret> {
        let message = tls::Secret {
            name: String::new(),
            r#type: Some(tls::secret::Type::TlsCertificate(tls::TlsCertificate {
                certificate_chain: Some(data(bytes)),
                private_key: None,
            })),
        };
        Arc::new(Secret {
            version: version.into(),
            body: message.encode_to_vec().into(),
            holds_key: false,
        })
    }

    fn data(bytes: usize) -> crate::proto::envoy::config::core::v3::DataSource {
        use crate::proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
        DataSource {
            specifier: Some(Specifier::InlineBytes(vec![7; bytes])),
        }
    }

    fn any(name: &str, bytes: usize) -> AnyMessage {
        let mut message = tls::Secret::decode(&secret("", bytes).body[..]).unwrap();
        message.name = name.to_owned();
        AnyMessage {
            type_url: SECRET_TYPE.to_owned(),
            value: message.encode_to_vec(),
        }
    }

    /// Around each length at which a length takes one byte more.
    const SIZES: [usize; 9] = [0, 1, 60, 100, 127, 128, 16_300, 16_384, 2_100_000];

    fn answer() -> Answer {
        let found = SIZES.map(|size| (Arc::from(format!("n{size}")), secret(&format!("v{size}"), size)));
        let merged = Missing::Merged {
            root: "ROOTCA".to_owned(),
        };
        let unknown = Missing::NoRoots {
            trust_domain: mtls_identity::TrustDomain::parse("example.org").unwrap(),
        };
        Answer {
            version: "all".into(),
            nonce: "7".to_owned(),
            found: found.to_vec(),
            missing: vec![("x".into(), merged), ("y".into(), unknown)],
            removed: vec!["gone".into()],
        }
    }

    #[test]
    fn state_of_the_world_is_what_the_generated_code_reads_and_writes() {
        let frame = sotw(&answer());
        let bytes = frame.message();
        let message = DiscoveryResponse::decode(bytes.clone()).unwrap();
        let resources: Vec<_> = SIZES.map(|size| any(&format!("n{size}"), size)).into();
        assert!(message.resources == resources);
        assert_eq!(message.version_info, "all");
        assert_eq!(message.nonce, "7");
        assert_eq!(message.type_url, SECRET_TYPE);
        assert_eq!(message.encoded_len(), bytes.len());
        let errors = message.resource_errors.iter().map(|error| {
            let name = &error.resource_name.as_ref().unwrap().name;
            (name.as_str(), error.error_detail.as_ref().unwrap().code)
        });
        assert_eq!(
            errors.collect::<Vec<_>>(),
            [("x", INVALID_ARGUMENT), ("y", NOT_FOUND)]
        );
    }

    #[test]
    fn increments_are_what_the_generated_code_reads_and_writes() {
        let frame = delta(&answer());
        let bytes = frame.message();
        let message = DeltaDiscoveryResponse::decode(bytes.clone()).unwrap();
        let resources = SIZES.map(|size| Resource {
            name: format!("n{size}"),
            version: format!("v{size}"),
            resource: Some(any(&format!("n{size}"), size)),
        });
        assert!(message.resources == resources);
        assert_eq!(message.removed_resources, ["x", "y", "gone"]);
        assert_eq!(message.resource_errors.len(), 2);
        assert_eq!((&*message.system_version_info, &*message.nonce), ("all", "7"));
        assert_eq!(message.encoded_len(), bytes.len());
    }

    #[test]
    fn streams_share_the_bytes_of_a_secret_and_pay_for_the_rest() {
        let answer = answer();
        let body = answer.found.last().unwrap().1.body.as_ptr();
        for pieces in [sotw(&answer), delta(&answer), delta(&answer)] {
            assert!(pieces.all().iter().any(|piece| piece.as_ptr() == body), "a copy");
            let own = pieces.own();
            assert!((100..4096).contains(&own), "{own} bytes of a stream's own");
        }
    }
}
