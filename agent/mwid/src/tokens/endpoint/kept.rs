//! A token that a source needs for its own questions. In: how to fetch one. Out: the same one for as long as it lives, so that a thousand
//! audiences cost one. One fetch at a time. Never handed to a caller.
use super::Reach;
use crate::tokens::AccessToken;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A token is used at once, so the last minute of its life is the only one that is too short.
const AT_LEAST: u64 = 60;

#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Arc<AccessToken>>>);

impl Kept {
    pub(crate) async fn get<E>(
        &self,
        reach: &Reach,
        fetch: impl Future<Output = Result<AccessToken, E>>,
    ) -> Result<Arc<AccessToken>, E> {
        let mut kept = self.0.lock().await;
        let now = reach.now().as_secs();
        if let Some(token) = kept.as_ref()
            && token.expires_at.as_secs() > now.saturating_add(AT_LEAST)
        {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(fetch.await?);
        *kept = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Whatever there is was made with other credentials.
    pub(crate) async fn clear(&self) {
        *self.0.lock().await = None;
    }

    /// That one is not taken any more.
    pub(crate) async fn forget(&self, token: &Arc<AccessToken>) {
        let mut kept = self.0.lock().await;
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, token)) {
            *kept = None;
        }
    }
}
