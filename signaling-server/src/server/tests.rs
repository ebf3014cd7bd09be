//! A server that breaks down says so.

use super::*;

async fn with_server(break_it: impl FnOnce(&mut RunningServer), expected: fn(&ServeError) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(Config::for_tests(folder.path().join("test.db"))).await.unwrap();
    break_it(&mut running);
    let why = running.failed().await;
    assert!(expected(&why), "{why:?}");
    running.shutdown().await;
}

#[tokio::test]
async fn that_nobody_can_connect_any_more_is_noticed() {
    with_server(|running| running.listener.shutdown(), |why| matches!(why, ServeError::Closed)).await;
    let abort = |running: &mut RunningServer| running.serving.abort_all();
    with_server(abort, |why| matches!(why, ServeError::Task(_))).await;
}

#[tokio::test]
async fn a_task_that_fails_is_noticed_and_one_that_ends_is_not() {
    let end_and_fail = |running: &mut RunningServer| {
        running.background.run(async {});
        running.background.run(async {
            tokio::task::yield_now().await;
            panic!("as a fault of the server's would");
        });
    };
    with_server(end_and_fail, |why| matches!(why, ServeError::Task(_))).await;
}
