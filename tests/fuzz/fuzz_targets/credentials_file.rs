//! A file of Application Default Credentials. Nothing panics; what is read goes only where a request may go; and no error quotes the file.
#![no_main]
use libfuzzer_sys::fuzz_target;

// The daemon is no library: the parser and the URLs that it checks name no other file, so that they can be read alone.
#[path = "../../../agent/mwid/src/http/web/url.rs"]
mod url;
mod http {
    pub mod web {
        pub(crate) use crate::url;
    }
}
#[path = "../../../agent/mwid/src/tokens/adc/file/mod.rs"]
mod file;

use file::{Credentials, Own, Subject};

fn is_checked(own: &Own) -> bool {
    let endpoint = match own {
        Own::User(user) => &user.token_uri,
        Own::ServiceAccount(account) => &account.token_uri,
        Own::External(external) => {
            if let Subject::Executable(program) = &external.subject {
                assert!(
                    program
                        .command
                        .first()
                        .is_some_and(|program| program.starts_with('/'))
                );
                assert!((5..=120).contains(&program.within.as_secs()));
            }
            &external.token_url
        }
    };
    url::Url::parse(&endpoint.to_text()).is_ok()
}

fuzz_target!(
    |json: &[u8]| match file::parse(json).map(|read| read.credentials) {
        Ok(Credentials::Own(own)) => assert!(is_checked(&own)),
        Ok(Credentials::Impersonated(file)) => {
            assert!(is_checked(&file.source));
            assert!(url::Url::parse(&file.target.0).is_ok());
        }
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                assert!(error.to_string().len() < 1000);
                cause = error.source();
            }
        }
    }
);
