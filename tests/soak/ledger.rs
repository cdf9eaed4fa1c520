//! PURE: which requests were lost, what was killed or taken down when, and whether the one explains the other.
//!
//! A request may be lost in three ways only:
//!
//! - refused while PHP-FPM is *down*: from the moment its master is killed, or asked to stop, until it is ready again,
//!   since the listening socket goes with the master;
//! - unanswered, and no worker told that it had begun: when PHP-FPM went down, for then it may have lain in the queue of
//!   the socket; or, one for each worker that was killed, since that may have just taken it;
//! - cut, in a worker that told so: only when that very worker was killed, or its master.
//!
//! A reload, a stop that lets requests finish, and a worker that others are killed beside, explain nothing.

use std::time::Duration;

/// What became of a request that was not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// There was nobody to connect to.
    Refused,
    /// The connection ended before a worker told that it had begun.
    Unanswered,
    /// The connection ended after this worker, by its pid in the container, had begun.
    Cut(i32),
    /// Another answer than the application's, or none in time.
    Wrong,
}

/// A request that was lost between these moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub from: Duration,
    pub to: Duration,
    pub how: How,
    pub what: String,
}

/// A killed worker of PHP-FPM: from just before the signal until it was gone.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub pid: i32,
    pub from: Duration,
    pub to: Option<Duration>,
}

/// PHP-FPM was taken down, until it was ready again.
#[derive(Clone, Copy, Debug)]
pub struct Down {
    /// The master was killed, and init ends its workers.
    pub killed: bool,
    pub from: Duration,
    pub to: Option<Duration>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub kills: Vec<Kill>,
    pub downs: Vec<Down>,
    pub lost: Vec<Lost>,
}

/// How many of the lost requests are explained by what, and those that nothing explains.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub with_worker: usize,
    pub with_master: usize,
    pub while_down: usize,
    pub unexplained: Vec<Lost>,
}

impl Ledger {
    /// May be asked at any time: what explains a loss is written down before it happens.
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut claimed = vec![false; self.kills.len()];
        let mut claim = |lost: &Lost, worker: Option<i32>| {
            let fits =
                |kill: &Kill| worker.is_none_or(|pid| pid == kill.pid) && lost.during(kill.from, kill.to);
            let found = (0..self.kills.len()).find(|n| !claimed[*n] && fits(&self.kills[*n]));
            found.map(|n| claimed[n] = true).is_some()
        };
        let mut unclear = Vec::new();
        for lost in &self.lost {
            let mut downs = self.downs.iter().filter(|down| lost.during(down.from, down.to)).peekable();
            let down = downs.peek().is_some();
            let killed = downs.any(|down| down.killed);
            match lost.how {
                How::Refused | How::Unanswered if down => verdict.while_down += 1,
                How::Cut(pid) if claim(lost, Some(pid)) => verdict.with_worker += 1,
                How::Cut(_) if killed => verdict.with_master += 1,
                How::Unanswered => unclear.push(lost),
                How::Refused | How::Cut(_) | How::Wrong => verdict.unexplained.push(lost.clone()),
            }
        }
        // Kills that no worker's own word has claimed, to the requests that ended first.
        unclear.sort_by_key(|lost| lost.to);
        for lost in unclear {
            if claim(lost, None) {
                verdict.with_worker += 1;
            } else {
                verdict.unexplained.push(lost.clone());
            }
        }
        verdict
    }
}

impl Lost {
    fn during(&self, from: Duration, to: Option<Duration>) -> bool {
        from <= self.to && to.is_none_or(|to| self.from <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lost(from: u64, to: u64, how: How) -> Lost {
        Lost { from: at(from), to: at(to), how, what: "GET /".into() }
    }

    fn unexplained(ledger: Ledger) -> usize {
        ledger.judge().unexplained.len()
    }

    #[test]
    fn a_killed_worker_explains_the_one_request_that_it_had() {
        let kills = vec![Kill { pid: 7, from: at(5), to: Some(at(6)) }];
        let judge = |lost: Vec<Lost>| unexplained(Ledger { kills: kills.clone(), lost, ..Ledger::default() });
        assert_eq!(judge(vec![lost(4, 6, How::Cut(7))]), 0);
        assert_eq!(judge(vec![lost(4, 6, How::Unanswered)]), 0);
        assert_eq!(judge(vec![lost(4, 6, How::Cut(7)), lost(4, 6, How::Unanswered)]), 1, "one each");
        assert_eq!(judge(vec![lost(4, 6, How::Unanswered), lost(4, 6, How::Cut(7))]), 1, "in any order");
        assert_eq!(judge(vec![lost(4, 6, How::Cut(8))]), 1, "another worker");
        assert_eq!(judge(vec![lost(4, 6, How::Refused)]), 1, "the socket was there");
        assert_eq!(judge(vec![lost(1, 4, How::Cut(7))]), 1, "before");
        assert_eq!(judge(vec![lost(7, 8, How::Cut(7))]), 1, "after");
        assert_eq!(judge(vec![lost(4, 6, How::Wrong)]), 1);
    }

    #[test]
    fn a_master_that_is_asked_to_stop_lets_its_workers_finish_and_a_killed_one_does_not() {
        let judge = |killed: bool, how: How| {
            let downs = vec![Down { killed, from: at(5), to: Some(at(6)) }];
            unexplained(Ledger { downs, lost: vec![lost(4, 5, how)], ..Ledger::default() })
        };
        for killed in [false, true] {
            assert_eq!(judge(killed, How::Refused), 0);
            assert_eq!(judge(killed, How::Unanswered), 0);
            assert_eq!(judge(killed, How::Wrong), 1);
        }
        assert_eq!(judge(true, How::Cut(7)), 0);
        assert_eq!(judge(false, How::Cut(7)), 1);
    }

    #[test]
    fn what_is_ready_again_explains_nothing_more() {
        let judge = |to: Option<Duration>| {
            let downs = vec![Down { killed: true, from: at(5), to }];
            unexplained(Ledger { downs, lost: vec![lost(7, 8, How::Refused)], ..Ledger::default() })
        };
        assert_eq!((judge(None), judge(Some(at(6)))), (0, 1));
    }
}
