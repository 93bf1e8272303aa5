//! The `spiffe` crate, unmodified, at the Workload API of SPIFFE_ENDPOINT_SOCKET.
//!
//! usage: spiffe-clients watch | once TIMES | jwt AUDIENCE
//! Prints one line an event, its words apart by tabs: x509 ID SERIAL, jwt ID, end REASON.
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use spiffe::{JwtSource, JwtSvid, WorkloadApiClient, X509Bundle, X509Source, X509Svid};
use std::error::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn tell(svid: &X509Svid) -> Outcome {
    let leaf = svid.cert_chain().first().ok_or("no leaf")?;
    println!("x509\t{}\t{}", svid.spiffe_id(), serial(leaf.as_bytes()).ok_or("no serial")?);
    Ok(())
}

/// Certificate, TBSCertificate, version, then the serial number (RFC 5280, 4.1).
fn serial(der: &[u8]) -> Option<String> {
    let certificate = value(der)?.0;
    let tbs = value(certificate)?.0;
    let (_version, rest) = value(tbs)?;
    let digits: String = value(rest)?.0.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(digits.trim_start_matches('0').to_owned())
}

/// The contents of the first element, and what follows it.
fn value(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (length, head) = if first < 0x80 {
        (first, 2)
    } else {
        let bytes = der.get(2..2 + (first & 0x7f))?;
        (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), 2 + bytes.len())
    };
    Some((der.get(head..head + length)?, der.get(head + length..)?))
}

async fn watch() -> Outcome {
    let source = X509Source::new().await?;
    let mut updates = source.updated();
    loop {
        match source.svid() {
            Ok(svid) => tell(&svid)?,
            // Denied: the source says so, and follows on.
            Err(withdrawn) => println!("withdrawn\t{withdrawn}"),
        }
        updates.changed().await?;
    }
}

/// The key is the leaf's, and each certificate is signed by the next, the last by a root of the bundle.
fn whole(svid: &X509Svid, bundle: &X509Bundle) -> Outcome {
    let chain = svid.cert_chain().iter().map(|one| parsed(one.as_bytes())).collect::<Outcome<Vec<_>>>()?;
    let roots = bundle.authorities().iter().map(|one| parsed(one.as_bytes())).collect::<Outcome<Vec<_>>>()?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, svid.private_key().as_bytes())?;
    let [leaf, ..] = &chain[..] else { return Err("no leaf".into()) };
    if key.public_key().as_ref() != &*leaf.public_key().subject_public_key.data {
        return Err("the key is not the leaf's".into());
    }
    for pair in chain.windows(2) {
        pair[0].verify_signature(Some(pair[1].public_key()))?;
    }
    let last = chain.last().ok_or("no chain")?;
    if !roots.iter().any(|root| last.verify_signature(Some(root.public_key())).is_ok()) {
        return Err("no root of the bundle signed the chain".into());
    }
    Ok(())
}

fn parsed(der: &[u8]) -> Outcome<X509Certificate<'_>> {
    Ok(X509Certificate::from_der(der)?.1)
}

async fn once(times: usize) -> Outcome {
    for _ in 0..times {
        let client = WorkloadApiClient::connect_env().await?;
        let context = client.fetch_x509_context().await?;
        let svid = context.default_svid().ok_or("no SVID")?;
        let domain = svid.spiffe_id().trust_domain();
        let bundle = context.bundle_set().get(domain).ok_or("no bundle")?;
        whole(svid, &bundle)?;
        tell(svid)?;
    }
    Ok(())
}

async fn jwt(audience: &str) -> Outcome {
    let source = JwtSource::new().await?;
    let svid = source.fetch_jwt_svid([audience]).await?;
    JwtSvid::parse_and_validate(svid.token(), &*source.bundle_set()?, &[audience])?;
    let client = WorkloadApiClient::connect_env().await?;
    client.validate_jwt_token(audience, svid.token()).await?;
    if client.validate_jwt_token("somebody else", svid.token()).await.is_ok() {
        return Err("a JWT-SVID for somebody else was taken".into());
    }
    println!("jwt\t{}", svid.spiffe_id());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["watch"] => watch().await,
        ["once", times] => once(times.parse()?).await,
        ["jwt", audience] => jwt(audience).await,
        _ => Err("usage".into()),
    };
    if let Err(error) = &outcome {
        println!("end\t{error}");
    }
    outcome
}
