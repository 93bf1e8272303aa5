//! What a metadata server answers to a question for a token or an account. Nothing panics; what reads as a token is one; and no words of a
//! server that are shown hold one.
#![no_main]
use libfuzzer_sys::fuzz_target;

// The daemon is no library: its parser names no other file, so that it can be read alone.
#[path = "../../../agent/mwid/src/tokens/metadata/answer.rs"]
mod answer;

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fuzz_target!(|body: &[u8]| {
    if let Ok(token) = answer::access(body) {
        assert!(is_token(&token.secret) && is_token(&token.token_type));
        let life = token.life.as_secs();
        assert!((1..=answer::LONGEST_LIFE).contains(&life));
        assert!(token.scopes.into_iter().flatten().all(|scope| !scope.contains(' ')));
    }
    if let Ok(token) = answer::id(body) {
        assert!(is_token(&token.secret));
        assert_eq!(token.secret.split('.').filter(|part| !part.is_empty()).count(), 3);
        assert!(token.expires_at > 0 || token.audience.len() <= body.len());
    }
    if let Ok(account) = answer::account(body) {
        assert!(answer::is_account(&account.email) && account.aliases.iter().all(|alias| answer::is_account(alias)));
        assert!(account.scopes.iter().all(|scope| answer::is_scope(scope)));
    }
    let words = answer::words(body);
    assert!(!words.is_empty() && words.chars().count() <= 200 && !words.chars().any(char::is_control));
    assert!(!words.contains("eyJ") && !words.contains("ya29."));
});
