//! The take-over of a job on a real S3 server: of two who claim the same one, each over
//! connections of its own, one has it.

use std::sync::Arc;

use kudzu_coordinator::cluster::shelf::{Claim, Shelf};
use kudzu_servers::S3;
use kudzu_shared::archive::{Put, Store};
use kudzu_shared::config::{Archive as Settings, Secret};
use kudzu_shared::job::JobId;

const JOB: JobId = JobId(7);
const EPOCHS: u32 = 50;

fn shelf(server: &S3) -> Shelf {
    let settings = Settings {
        url: format!("s3://{}", S3::BUCKET),
        endpoint: Some(server.endpoint()),
        allow_http: true,
        access_key: Some(S3::ACCESS_KEY.into()),
        secret_key: Some(Secret::from(S3::SECRET_KEY.to_owned())),
        ..Settings::default()
    };
    Shelf::new(Arc::new(Store::from_url(&settings).unwrap()))
}

/// Both at the same instant, for all that they say of themselves.
fn claim(nonce: u64) -> Claim {
    Claim { owner: "same".into(), address: None, claimed_ms: 1, nonce, segments: 0, stalled: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_claims_on_s3_one_wins() {
    let server = S3::start().unwrap();
    let [one, two] = [shelf(&server), shelf(&server)];
    for epoch in 1..=EPOCHS {
        let [first, second] = [claim(1), claim(2)];
        let (a, b) = tokio::join!(one.claim(JOB, epoch, &first), two.claim(JOB, epoch, &second));
        let (winner, loser, won, lost) = match (a.unwrap(), b.unwrap()) {
            (Put::Created, Put::Exists) => (&one, &two, first, second),
            (Put::Exists, Put::Created) => (&two, &one, second, first),
            both => panic!("take-over {epoch}: {both:?}"),
        };
        assert_eq!(loser.claimed(JOB, epoch).await.unwrap().as_ref(), Some(&won));
        assert_eq!(loser.last_epoch(JOB).await.unwrap(), epoch);
        assert!(loser.is_claimed(JOB, epoch).await.unwrap());
        assert!(!winner.is_claimed(JOB, epoch + 1).await.unwrap());
        // Who says it again, for the answer was lost, knows its own.
        assert_eq!(winner.claim(JOB, epoch, &won).await.unwrap(), Put::Created);
        assert_eq!(loser.claim(JOB, epoch, &lost).await.unwrap(), Put::Exists);
    }
}
