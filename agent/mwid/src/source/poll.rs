//! Asking a server again and again. In: a question, how often, and whether it is wanted at all. Out: a report for each answer.
//! Never asks while nobody wants it, and then has no timer either.
use super::{Origin, Report};
use crate::backoff::Backoff;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// After the first trouble; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How often to ask.
pub(super) struct Pace {
    /// After an answer.
    poll: Duration,
    /// At the longest, after trouble in a row.
    retry: Duration,
    /// Whether to ask at all.
    wanted: Option<watch::Receiver<bool>>,
}

impl Pace {
    /// From now on, and after trouble at least as often.
    pub(super) fn every(poll: Duration) -> Self {
        Self {
            poll,
            retry: poll,
            wanted: None,
        }
    }

    /// Only while somebody wants it, and ever more seldom while there is trouble.
    pub(super) fn while_wanted(poll: Duration, retry: Duration, wanted: watch::Receiver<bool>) -> Self {
        Self {
            poll,
            retry,
            wanted: Some(wanted),
        }
    }
}

/// What to ask.
pub(super) trait Question: Send + 'static {
    fn ask(&mut self) -> impl Future<Output = Report> + Send;
}

/// Asks until the source is stopped.
pub(super) fn start(question: impl Question, pace: Pace, origin: &Origin) {
    let Origin { out, stop, tasks, .. } = origin.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = run(question, pace, out) => {}
            () = stop.asked() => {}
        }
    });
}

async fn run(mut question: impl Question, mut pace: Pace, out: mpsc::Sender<Report>) {
    let Some(mut wanted) = pace.wanted.take() else {
        return ask_on(&mut question, &pace, &out).await;
    };
    while wanted.wait_for(|wanted| *wanted).await.is_ok() {
        tokio::select! {
            () = ask_on(&mut question, &pace, &out) => return,
            _ = wanted.wait_for(|wanted| !*wanted) => {}
        }
    }
}

/// Returns when nobody hears the reports any more.
async fn ask_on(question: &mut impl Question, pace: &Pace, out: &mpsc::Sender<Report>) {
    let mut backoff = Backoff::new(FIRST_RETRY.min(pace.retry), pace.retry);
    loop {
        let report = question.ask().await;
        let wait = match &report {
            Report::Trouble(error) if error.is_lasting() => backoff.next().max(pace.poll),
            Report::Trouble(_) => backoff.next(),
            Report::Delivery(_) | Report::Tried(_) => {
                backoff.reset();
                pace.poll
            }
        };
        if out.send(report).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceError;
    use super::*;
    use crate::metadata::MetadataError;
    use tokio::time::Instant;

    /// Answers with trouble.
    struct Troubled;

    impl Question for Troubled {
        async fn ask(&mut self) -> Report {
            Report::Trouble(SourceError::Ended { kind: String::new() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_asked_about_ever_more_seldom() {
        let (out, mut reports) = mpsc::channel(1);
        let pace = Pace::every(Duration::from_secs(60));
        tokio::spawn(run(Troubled, pace, out));
        let mut last = Instant::now();
        let mut waits = vec![];
        for _ in 0..10 {
            reports.recv().await.unwrap();
            waits.push(last.elapsed());
            last = Instant::now();
        }
        assert!(waits[0].is_zero() && waits[1] <= FIRST_RETRY, "{waits:?}");
        assert!(
            waits[8..].iter().all(|w| (30..=60).contains(&w.as_secs())),
            "{waits:?}"
        );
    }

    /// Answers with trouble that only a changed configuration ends.
    struct Off;

    impl Question for Off {
        async fn ask(&mut self) -> Report {
            Report::Trouble(SourceError::Metadata(MetadataError::FeatureOff {
                server: ([127, 0, 0, 1], 9).into(),
                path: String::new(),
            }))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_lasts_is_asked_about_no_more_often_than_an_answer() {
        let (out, mut reports) = mpsc::channel(1);
        let poll = Duration::from_secs(60);
        tokio::spawn(run(Off, Pace::every(poll), out));
        reports.recv().await.unwrap();
        let began = Instant::now();
        reports.recv().await.unwrap();
        assert_eq!(began.elapsed(), poll);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_while_nobody_wants_it() {
        let (out, mut reports) = mpsc::channel(1);
        let (want, wanted) = watch::channel(false);
        let minutes = Duration::from_secs(300);
        tokio::spawn(run(Troubled, Pace::while_wanted(minutes, minutes, wanted), out));
        let mut silent = async || {
            tokio::time::timeout(Duration::from_secs(86_400), reports.recv())
                .await
                .is_err()
        };
        assert!(silent().await);
        want.send_replace(true);
        assert!(!silent().await && !silent().await);
        want.send_replace(false);
        // What was on its way arrives.
        while !silent().await {}
        want.send_replace(true);
        assert!(!silent().await);
    }
}
