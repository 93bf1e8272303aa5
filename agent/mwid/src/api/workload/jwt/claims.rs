//! Claims as `google.protobuf.Struct`. In: claims of a token that holds. Out: the message. Never nests deeper than clients read.
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Message};
use serde_json::{Map, Value};

/// Protobuf libraries stop at 100 levels of messages, and an object in an object takes three. What is deeper is left out, as section 6.2.3 of the
/// Workload API allows for what is no claim of SPIFFE's.
const DEEPEST: usize = 16;

/// `aud` is always a list, as SPIRE has it.
pub(super) fn message(mut claims: Map<String, Value>) -> Struct {
    if let Some(audience @ Value::String(_)) = claims.get_mut("aud") {
        *audience = Value::Array(vec![audience.take()]);
    }
    object(claims, DEEPEST)
}

fn object(members: Map<String, Value>, deeper: usize) -> Struct {
    let members = members.into_iter();
    let kept = members.filter_map(|(name, value)| Some((name, message_of(value, deeper)?)));
    Struct {
        fields: kept.collect(),
    }
}

fn message_of(value: Value, deeper: usize) -> Option<Message> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64()?),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => {
            let deeper = deeper.checked_sub(1)?;
            let values = items.into_iter().filter_map(|item| message_of(item, deeper));
            Kind::ListValue(ListValue {
                values: values.collect(),
            })
        }
        Value::Object(members) => Kind::StructValue(object(members, deeper.checked_sub(1)?)),
    };
    Some(Message { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use serde_json::json;

    fn claims(value: &Value) -> Struct {
        message(value.as_object().cloned().unwrap())
    }

    #[test]
    fn every_kind_of_json_has_its_kind_of_message() {
        let made = claims(&json!({
            "aud": "a", "exp": 1_700_000_000, "half": 0.5, "yes": true, "none": null, "list": [1, "b"], "in": {"x": -1},
        }));
        let kind = |name: &str| made.fields[name].kind.clone().unwrap();
        let text = |text: &str| Message {
            kind: Some(Kind::StringValue(text.to_owned())),
        };
        assert_eq!(
            kind("aud"),
            Kind::ListValue(ListValue {
                values: vec![text("a")]
            })
        );
        assert_eq!(kind("exp"), Kind::NumberValue(1_700_000_000.0));
        assert_eq!(kind("half"), Kind::NumberValue(0.5));
        assert_eq!(
            (kind("yes"), kind("none")),
            (Kind::BoolValue(true), Kind::NullValue(0))
        );
        assert!(
            matches!(kind("list"), Kind::ListValue(list) if list.values.len() == 2 && list.values[1] == text("b"))
        );
        assert!(
            matches!(kind("in"), Kind::StructValue(s) if s.fields["x"].kind == Some(Kind::NumberValue(-1.0)))
        );
    }

    #[test]
    fn what_nests_too_deep_is_left_out_so_that_clients_can_read_the_rest() {
        let mut deep = json!("bottom");
        for _ in 0..120 {
            deep = json!({"in": deep});
        }
        let made = claims(&json!({"sub": "spiffe://a/b", "deep": deep, "aud": ["x"]}));
        let read = Struct::decode(&made.encode_to_vec()[..]).unwrap();
        assert_eq!(read.fields.len(), 3);
    }
}
