//! Texts of the file, each kind with the words for what is wanted in its place. A number where a text belongs is refused rather
//! than guessed: YAML readers disagree on `0640`, `1_000` and `010`.
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use std::fmt;
use zeroize::Zeroizing;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $wanted:literal $(, number: $number:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(in crate::config) struct $name(pub(in crate::config) String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Words;
                impl Visitor<'_> for Words {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($wanted)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        Ok($name(text.to_owned()))
                    }
                    $(fn visit_u64<E: de::Error>(self, $number: u64) -> Result<$name, E> {
                        Ok($name($number.to_string()))
                    })?
                }
                deserializer.deserialize_any(Words)
            }
        }
    };
}

text!(Text, "a text");
text!(PathText, "a path");
text!(TimeText, "a time with its unit, such as 30s or 1h");
text!(ModeText, "a file mode in quotes, such as \"0640\"");
text!(
    /// A user or a group, by name or by number.
    NameText, "a name or a number", number: number
);
text!(
    /// All digits, or digits and one `e`, are a number to YAML: hence the quotes.
    HashText, "a SHA-256 in quotes: 64 hexadecimal digits"
);
text!(
    Address,
    "an address: \"HOST:PORT\", \"unix:PATH\" or \"systemd:NAME\""
);

/// A user's or a group's number. In no quotes, so that `uid: "alice"` is told apart from `user: alice` at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct IdNumber(pub(in crate::config) u64);

impl<'de> Deserialize<'de> for IdNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdNumberWords)
    }
}

struct IdNumberWords;

impl Visitor<'_> for IdNumberWords {
    type Value = IdNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, without quotes")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<IdNumber, E> {
        Ok(IdNumber(number))
    }
}

/// A password. Its errors and its Debug never show it.
#[derive(Clone)]
pub(in crate::config) struct Secret(pub(in crate::config) Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretWords)
    }
}

struct SecretWords;

macro_rules! no_password {
    ($($visit:ident($type:ty)),*) => {
        // serde's own would show the number, which is the password.
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<Secret, E> {
            Err(E::invalid_type(Unexpected::Other("a value without quotes that YAML takes for no text"), &self))
        })*
    };
}

impl Visitor<'_> for SecretWords {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a password in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }

    no_password!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_f64(f64)
    );
}
