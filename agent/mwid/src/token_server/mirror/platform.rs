//! The one thing that is asked. In: a path with its query. Out: the answer. A trait, so that tests can be the platform without a socket.
use crate::metadata::{Answer, Client, MetadataError, Question};
use std::pin::Pin;
use std::time::Duration;

pub(super) type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, MetadataError>> + Send + 'a>>;

pub(super) trait Platform: Send + Sync + 'static {
    fn ask<'a>(&'a self, path: &'a str, within: Option<Duration>) -> Asking<'a>;
}

impl Platform for Client {
    fn ask<'a>(&'a self, path: &'a str, within: Option<Duration>) -> Asking<'a> {
        let mut question = Question::get(path);
        question.within = within.unwrap_or(question.within);
        Box::pin(Client::ask(self, question))
    }
}
