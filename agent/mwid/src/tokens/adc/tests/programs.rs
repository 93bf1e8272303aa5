//! Programs that print subject tokens.
use super::*;
use std::time::Duration;

fn printed(members: &Value) -> String {
    let mut answer = json!({
        "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:id_token", "id_token": SUBJECT,
    });
    for (name, value) in members.as_object().unwrap() {
        answer[name] = value.clone();
    }
    format!("printf '%s' '{answer}'")
}

impl Bench {
    fn executable(&self, program: &str, mut executable: Value) -> Source {
        executable["command"] = program.into();
        self.source(&self.external(json!({ "executable": executable })))
    }
}

#[tokio::test]
async fn a_program_runs_only_where_that_is_allowed() {
    let mut bench = Bench::new();
    bench.allow_executables = false;
    let program = bench.program(&printed(&json!({})));
    let source = bench.executable(&program, json!({}));
    let (_, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(
        text.contains("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"),
        "{text}"
    );
    assert_eq!(bench.runs(), 0);
}

#[tokio::test]
async fn a_program_is_told_what_the_token_is_for() {
    let bench = Bench::new();
    let seen = bench.path("seen").display().to_string();
    let program = bench.program(&format!(
        "env > {seen}; echo \"$1|$2\" >> {seen}; {}",
        printed(&json!({"expiration_time": AT + 60}))
    ));
    let mut file = bench.external(json!({"executable": {
        "command": format!("{program} --a \"b c\""), "output_file": bench.path("out").to_str(),
    }}));
    file["service_account_impersonation_url"] = bench.google.impersonation_url(TARGET).into();
    bench.access(&bench.source(&file), Scopes::Default).await.unwrap();
    let seen = std::fs::read_to_string(bench.path("seen")).unwrap();
    for line in [
        format!("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE={POOL}"),
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:jwt".to_owned(),
        "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0".to_owned(),
        format!("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL={TARGET}"),
        format!(
            "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE={}",
            bench.path("out").display()
        ),
        "--a|b c".to_owned(),
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
    }
}

#[tokio::test]
async fn an_answer_left_behind_is_used_while_it_holds() {
    let bench = Bench::new();
    let program = bench.program(&printed(&json!({"expiration_time": AT + 60})));
    let source = bench.executable(&program, json!({"output_file": bench.path("out").to_str()}));
    let left = |expires: Value| {
        let answer = json!({
            "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": SUBJECT,
            "expiration_time": expires,
        });
        bench.write("out", &answer.to_string());
    };
    left(json!(AT + 60));
    bench.access(&source, Scopes::Default).await.unwrap();
    assert_eq!(bench.runs(), 0);
    for stale in [json!(AT), Value::Null] {
        left(stale);
        let before = bench.runs();
        bench.access(&source, Scopes::Default).await.unwrap();
        assert_eq!(bench.runs(), before + 1);
    }
    bench.write("out", "{");
    bench.access(&source, Scopes::Default).await.unwrap();
    assert_eq!(bench.runs(), 3);
}

#[tokio::test]
async fn what_a_program_must_not_answer_is_told_by_name() {
    let bench = Bench::new();
    for (answer, told) in [
        ("exit 3".to_owned(), "exit status: 3"),
        ("echo hidden".to_owned(), "no JSON answer"),
        ("yes hidden".to_owned(), "more than 65536 bytes"),
        (printed(&json!({"version": 2})), "version 2"),
        (printed(&json!({"version": null})), "no usable version"),
        (printed(&json!({"success": null})), "no usable success"),
        (
            printed(&json!({"success": false, "code": "401", "message": "Caller not authorized."})),
            "(401: Caller not authorized.)",
        ),
        (printed(&json!({ "expiration_time": AT })), "expired already"),
        (
            printed(&json!({"token_type": "urn:other"})),
            "no usable token_type",
        ),
        (
            printed(&json!({"token_type": "urn:ietf:params:oauth:token-type:saml2"})),
            "no usable saml_response",
        ),
        (printed(&json!({"id_token": ""})), "no usable token"),
    ] {
        let source = bench.executable(&bench.program(&answer), json!({}));
        let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
        assert!(failure == Failure::LATER && text.contains(told), "{told}: {text}");
    }
    let source = bench.executable(
        &bench.program(&printed(&json!({}))),
        json!({"output_file": "/nonexistent/out"}),
    );
    let (_, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(text.contains("no usable expiration_time"), "{text}");
    let source = bench.executable("/nonexistent/program", json!({}));
    let (_, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(text.contains("/nonexistent/program cannot be started"), "{text}");
}

#[tokio::test]
async fn a_late_program_is_ended_with_all_that_it_started() {
    let bench = Bench::new();
    let pid = bench.path("pid");
    let program = bench.program(&format!("sleep 1000 & echo $! > {}; wait", pid.display()));
    let source = bench.executable(&program, json!({"timeout_millis": 5000}));
    let asking =
        tokio::spawn(async move { source.access(&testing::access(Scopes::Default)).await.map(|_| ()) });
    let child = loop {
        // Its own clock runs: waits for the file, not for a time.
        match std::fs::read_to_string(&pid)
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok())
        {
            Some(child) => break child,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    // The program runs; from here on time may jump.
    tokio::time::pause();
    let (_, text) = refusal(asking.await.unwrap());
    assert!(text.contains("within 5s and was ended"), "{text}");
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z")
    };
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !gone() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(gone(), "the child {child} still runs");
}

#[tokio::test]
async fn a_question_lasts_as_long_as_the_program_may() {
    let bench = Bench::new();
    let program = bench.program(&printed(&json!({})));
    let slow = bench.executable(&program, json!({"timeout_millis": 120_000}));
    assert!(slow.patience() >= Duration::from_secs(130), "before it is read");
    bench.access(&slow, Scopes::Default).await.unwrap();
    assert!(
        slow.patience() >= Duration::from_secs(130),
        "{:?}",
        slow.patience()
    );
    let quick = bench.executable(&program, json!({"timeout_millis": 5000}));
    bench.access(&quick, Scopes::Default).await.unwrap();
    assert_eq!(quick.patience(), Duration::from_secs(40));
}
