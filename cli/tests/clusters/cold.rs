//! The comparison on cold names, with a few of them and without the others.

use kudzu_loadtest::cold;

use crate::kudzu;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself: make cluster"]
async fn cold_names_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let out = Some(folder.path().join("cold"));
    let options =
        cold::Options { kudzu: kudzu(), massdns: None, names: 200, celery_names: 0, rounds: 1, seed: 5, out };
    let report = cold::run(&options).await.unwrap();
    assert!(report.holds(), "{:#?}", report.checks);
    assert_eq!(report.checks.len(), 2);
    let page = std::fs::read_to_string(folder.path().join("cold/README.md")).unwrap();
    assert!(page.contains("| 0 lost, 0 wrong | yes |"), "{page}");
}
