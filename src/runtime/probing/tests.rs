//! The channel between tasks and loop, and what is known of an instance.

use super::told::Change;
use super::*;
use crate::config::plan::ProbePlan;
use std::time::Duration;

const WEB: Id = Id::Service { unit: 0, instance: 0 };

fn tcp(address: String) -> ReadyPlan {
    ReadyPlan {
        warm_up: None,
        probe: ProbePlan::Tcp { address },
        interval: Duration::from_millis(5),
        timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(60),
        successes: 1,
    }
}

fn within_a_loop(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn an_answer_for_the_process_before_is_not_taken_for_this_ones() {
    within_a_loop(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut probes = Probes::default();
        probes.start_ready(WEB, "web".to_owned(), tcp(address));
        // Its yes is on its way when the instance ends and is started anew, and does not listen yet.
        while probes.messages.is_empty() {
            tokio::task::yield_now().await;
        }
        probes.instance_ended(WEB);
        let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        probes.start_ready(WEB, "web".to_owned(), tcp(unbound.to_string()));
        let early = tokio::time::timeout(Duration::from_millis(50), probes.next()).await;
        assert!(early.is_err(), "{early:?}");
        drop(listener);
    });
}

#[test]
fn readiness_takes_so_many_successes_in_a_row() {
    within_a_loop(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut probes = Probes::default();
        probes.start_ready(WEB, "web".to_owned(), ReadyPlan { successes: 3, ..tcp(address) });
        for _ in 0..3 {
            let asked = probes.next().await;
            assert!(matches!(asked.message, Message::Ready { ok: true }), "{asked:?}");
            listener.accept().await.unwrap();
        }
        assert!(tokio::time::timeout(Duration::from_millis(20), listener.accept()).await.is_err());
    });
}

#[test]
fn liveness_tells_failures_and_only_the_successes_that_are_news() {
    within_a_loop(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut probes = Probes::default();
        let plan = LivePlan {
            probe: ProbePlan::Tcp { address: address.to_string() },
            interval: Duration::from_millis(2),
            timeout: Duration::from_secs(5),
            failures: 3,
            successes: 2,
        };
        probes.start_live(WEB, "web".to_owned(), plan, None);
        let alive = |asked: Asked| match asked.message {
            Message::Live { ok, why } => (ok, why.is_some()),
            message => panic!("{message:?}"),
        };
        for _ in 0..2 {
            assert_eq!(alive(probes.next().await), (true, false));
        }
        // From now on nothing is news, however often it is asked.
        for _ in 0..10 {
            listener.accept().await.unwrap();
        }
        assert!(probes.messages.is_empty());
        drop(listener);
        for _ in 0..4 {
            assert_eq!(alive(probes.next().await), (false, true));
        }
        let listener = std::net::TcpListener::bind(address).unwrap();
        let mut rest = Vec::new();
        while rest.iter().filter(|(ok, _)| *ok).count() < 2 {
            rest.push(alive(probes.next().await));
        }
        assert!(rest.is_sorted(), "failures first: {rest:?}");
        drop(listener);
        probes.stop(WEB, Aim::Live);
        assert!(probes.tasks.is_empty());
    });
}

#[test]
fn a_degradation_is_told_once_each_way() {
    let told = Told::default();
    let full = || Some("full".to_owned());
    assert_eq!(told.degrade(None), None);
    assert_eq!(told.degrade(full()), Some(Change::Worse("full".into())));
    assert_eq!(told.degrade(full()), Some(Change::Still("full".into())));
    assert_eq!((told.degraded(), told.degraded_attempts()), (full(), 2));
    assert_eq!(told.degrade(None), Some(Change::Better("2 attempts".into())));
    assert_eq!((told.degraded(), told.degraded_attempts()), (None, 2));
    assert_eq!(told.degrade(full()), Some(Change::Worse("full".into())));
    told.forget();
    assert_eq!((told.degraded(), told.degraded_attempts(), told.degrade(None)), (None, 3, None));
}
