//! `mwid fetch jwt`. In: audiences, a SPIFFE ID. Out: the token alone, or a file that its owner alone reads and in words whose it is. Proven before by
//! the JWT bundles of the same agent: for each audience that was asked for, and of the ID. Never a token in an error.
use super::{agent, write};
use crate::cli::words::clean;
use crate::cli::{Exit, Failure, args, output};
use crate::health::status::timestamp;
use crate::jwt::svid;
use crate::workload_client::{Client, JwtSvid};
use mtls_identity::{SpiffeId, TrustBundles, UnixTime};
use std::path::{Path, PathBuf};
use std::time::Duration;
use write::File;
use zeroize::Zeroizing;

pub(super) fn run(args: &args::FetchJwtArgs) -> Result<(), Failure> {
    let id = args.spiffe_id.as_deref().map(SpiffeId::parse).transpose();
    let id = id.map_err(|e| Failure::new(Exit::Usage, "--spiffe-id is wrong").because(e))?;
    let place = args.write.as_deref().map(place).transpose()?;
    let asked = async |client: Client| {
        let svids = client.jwt_svids(&args.audience, id.as_ref()).await?;
        Ok((svids, client.jwt_bundles().await?))
    };
    let (svids, bundles) = agent::ask(&args.workload, asked)?;
    // The first is the default one (SPIFFE Workload API, section 6.2.1); the answer is not empty.
    let Some(first) = svids.into_iter().next() else {
        return Err(Failure::new(Exit::Data, "the answer holds no SVID"));
    };
    let end = prove(&first, id.as_ref(), &args.audience, &bundles, super::now()?)?;
    match place {
        None => {
            let line = Zeroizing::new(format!("{}\n", *first.token));
            output::data(&line)
        }
        Some((directory, name)) => {
            write::all(&directory, &[File::secret(name, first.token.as_bytes())], |_| {
                false
            })?;
            output::data(&told(&first, &args.audience, end))
        }
    }
}

/// The directory, and the name in it.
fn place(file: &Path) -> Result<(PathBuf, String), Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        let why = format!("--write wants a file, and {} names none", file.display());
        Failure::new(Exit::Usage, why)
    })?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((directory.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
}

/// Whether the token is what was asked for; and its end.
fn prove(
    svid: &JwtSvid,
    id: Option<&SpiffeId>,
    audience: &[String],
    bundles: &TrustBundles,
    now: UnixTime,
) -> Result<Option<UnixTime>, Failure> {
    let not_shown =
        |what: &str| format!("the JWT-SVID of the answer {what}: it is neither shown nor written");
    let mut end = None;
    for audience in audience {
        let valid = svid::validate(&svid.token, audience, bundles, now)
            .map_err(|refusal| Failure::new(Exit::Data, not_shown("does not hold")).because(refusal))?;
        if valid.id != svid.id || id.is_some_and(|id| *id != valid.id) {
            let what = format!("is of {}, and not of {}", valid.id, id.unwrap_or(&svid.id));
            return Err(Failure::new(Exit::Data, not_shown(&what)));
        }
        let exp = valid.claims.get("exp").and_then(serde_json::Value::as_u64);
        end = exp.map(|exp| UnixTime::since_unix_epoch(Duration::from_secs(exp)));
    }
    Ok(end)
}

fn told(svid: &JwtSvid, audience: &[String], end: Option<UnixTime>) -> String {
    let until = end.map_or_else(String::new, |end| format!(", until {}", timestamp(end)));
    let line = |text: &str| clean(text).replace('\n', " ");
    let hint = match svid.hint.as_str() {
        "" => String::new(),
        hint => format!("hint {}\n", line(hint)),
    };
    hint + &format!("{} for {}{until}\n", svid.id, line(&audience.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::SigningKey;
    use mtls_identity::{TrustBundle, TrustDomain};
    use serde_json::json;

    const NOW: u64 = 2_000_000_000;

    /// What an agent says, and the bundles by which it is judged.
    fn said(id: &str, claims: &serde_json::Value) -> (JwtSvid, TrustBundles) {
        let key = SigningKey::new().unwrap();
        let keys = json!({ "keys": [key.public("jwt-svid")] }).to_string();
        let domain = TrustDomain::parse("example.org").unwrap();
        let bundle = TrustBundle::from_spiffe_json(domain, keys.as_bytes()).unwrap();
        let svid = JwtSvid {
            id: SpiffeId::parse(id).unwrap(),
            hint: String::new(),
            token: key.sign(claims).unwrap(),
        };
        (svid, TrustBundles::of(bundle))
    }

    #[test]
    fn a_token_is_shown_only_if_it_is_what_was_asked_for() {
        const A: &str = "spiffe://example.org/a";
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        let claims = |sub: &str, exp: u64| json!({ "sub": sub, "aud": ["x", "y"], "exp": exp });
        let proven = |(svid, bundles): (JwtSvid, TrustBundles), id: Option<&str>, audience: &[&str]| {
            let id = id.map(|id| SpiffeId::parse(id).unwrap());
            let audience: Vec<_> = audience.iter().map(|&a| a.to_owned()).collect();
            prove(&svid, id.as_ref(), &audience, &bundles, now).map_err(|failure| {
                let text = crate::report::Causes(&failure).to_string();
                assert!(!text.contains(svid.token.as_str()), "{text}");
                text
            })
        };
        let good = || said(A, &claims(A, NOW + 300));
        let end = UnixTime::since_unix_epoch(Duration::from_secs(NOW + 300));
        assert_eq!(proven(good(), None, &["x", "y"]), Ok(Some(end)));
        assert_eq!(proven(good(), Some(A), &["y"]), Ok(Some(end)));
        let wrong = [
            proven(good(), None, &["x", "z"]),
            proven(good(), Some("spiffe://example.org/b"), &["x"]),
            proven(
                said("spiffe://example.org/b", &claims(A, NOW + 300)),
                None,
                &["x"],
            ),
            proven(said(A, &claims(A, NOW)), None, &["x"]),
            proven((good().0, good().1), None, &["x"]),
        ];
        for one in wrong {
            assert!(one.unwrap_err().contains("neither shown nor written"));
        }
        let told = told(&good().0, &["x\n\u{1b}[2J".to_owned()], Some(end));
        assert!(
            told.starts_with("spiffe://example.org/a for x ") && told.lines().count() == 1,
            "{told:?}"
        );
    }

    #[test]
    fn a_file_is_named_by_its_directory_and_name() {
        let of = |path: &str| place(Path::new(path)).unwrap();
        assert_eq!(of("token"), (PathBuf::from("."), "token".to_owned()));
        assert_eq!(of("/run/x/token"), (PathBuf::from("/run/x"), "token".to_owned()));
        assert_eq!(place(Path::new("/")).unwrap_err().exit(), Exit::Usage);
    }
}
