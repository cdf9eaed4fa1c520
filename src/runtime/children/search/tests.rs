use super::*;

fn process(pid: i32, parent: i32, group: i32) -> Process {
    let (pid, comm) = (Pid::new(pid).unwrap(), "x".to_owned());
    Process { pid, parent, group, session: group, start_time: 1, comm, zombie: false }
}

#[test]
fn what_belongs_to_a_living_child_is_no_stray() {
    let all = vec![
        process(10, 1, 10),
        process(20, 1, 20),
        process(21, 1, 10),
        Process { zombie: true, ..process(30, 1, 30) },
        process(11, 10, 11),
        process(22, 20, 20),
        process(23, 21, 23),
    ];
    let pids: Vec<i32> = strays(all, &HashSet::from([10])).iter().map(|p| p.pid.raw()).collect();
    assert_eq!(pids, [20, 22]);
}

fn sought(mark: &str) -> Sought {
    Sought { mark: mark.to_owned(), uid: 0 }
}

fn marks(found: Vec<Found>) -> Vec<String> {
    found.iter().filter(|found| found.processes.is_empty()).map(|of| of.sought.mark.clone()).collect()
}

/// Has the search for what is wanted hang at a process, as long as the sender lives.
fn hang(search: &mut Search, at: Option<Process>) -> oneshot::Sender<Answer> {
    let (hangs, answer) = oneshot::channel();
    let wanted = std::mem::take(&mut search.wanted);
    let reading = Arc::new(Mutex::new(at));
    search.running = Some(Running { wanted, answer, reading, until: clock::now() });
    hangs
}

#[tokio::test(flavor = "current_thread")]
async fn a_process_that_hangs_the_search_is_left_out_of_the_next_one() {
    let mut search = Search::default();
    assert!(search.want(None, sought("a")));
    let hangs = hang(&mut search, Some(process(10, 1, 10)));
    assert!(search.want(None, sought("b")));
    search.finished().await;
    assert_eq!(marks(search.take()), [""; 0], "both are searched for again");
    assert_eq!(search.hung.iter().filter_map(|hung| hung.at.clone()).count(), 1);
    search.start([Pid::current()].into_iter());
    search.finished().await;
    let mut both = marks(search.take());
    both.sort_unstable();
    assert_eq!(both, ["a", "b"]);
    // The thread comes back: what it says is too late, and the process is no longer left out.
    hangs.send(Answer::default()).unwrap();
    assert!(search.want(None, sought("c")) && search.hung.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn few_threads_hang_and_then_nothing_is_searched_for() {
    let mut search = Search::default();
    assert!(search.want(None, sought("a")));
    let mut all = Vec::new();
    for pid in 0..MOST_HUNG {
        assert!(search.want(None, sought("b")));
        all.push(hang(&mut search, Some(process(10 + i32::try_from(pid).unwrap(), 1, 10))));
        search.finished().await;
    }
    assert_eq!(marks(search.take()).len(), MOST_HUNG + 1);
    assert!(!search.want(None, sought("c")));
    drop(all.pop());
    assert!(search.want(None, sought("d")));
}

/// A thread that got no processor would get none for the next search either.
#[tokio::test(flavor = "current_thread")]
async fn a_search_that_hangs_at_no_process_is_answered() {
    let mut search = Search::default();
    assert!(search.want(None, sought("a")));
    let _hangs = hang(&mut search, None);
    search.finished().await;
    assert_eq!(marks(search.take()), ["a"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "children of the test's own")]
fn one_that_may_not_be_looked_at_is_skipped_and_the_others_are_found() {
    let child =
        |mark: &str| std::process::Command::new("sleep").arg("1000").env(INSTANCE, mark).spawn().unwrap();
    let mut children = [child("m-1"), child("m-2"), child("m-1")];
    let pid = |child: &std::process::Child| Pid::new(child.id().try_into().unwrap()).unwrap();
    let pids: Vec<Pid> = children.iter().map(pid).collect();
    let wanted = vec![(None, sought("m-1")), (None, sought("m-2"))];
    let own = |skipped: &[Process]| {
        let answer = find(wanted.clone(), &HashSet::new(), skipped, &Reading::default());
        assert!(answer.unread.is_empty(), "{:?}", answer.why);
        answer.found.into_iter().flat_map(|found| found.processes).collect::<Vec<_>>()
    };
    // The environment is that of the program once it has been executed.
    let all = std::iter::repeat_with(|| own(&[])).find(|all| all.len() == 3).unwrap();
    assert_eq!(all.iter().map(|process| process.pid).collect::<Vec<_>>(), [pids[0], pids[2], pids[1]]);
    assert_eq!(own(&all[..1]), all[1..]);
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_mark_replaces_any_other_and_steps_have_none() {
    let mut marks = Marks::new();
    let mut command = Command::new(["x"]);
    command.env = vec![("A".into(), "1".into()), (INSTANCE.into(), "of another init".into())];
    let first = marks.put(Who::Probe(1), &mut command).unwrap();
    let second = marks.put(Who::Probe(1), &mut command).unwrap();
    assert_ne!(first, second);
    assert_eq!(command.env[0], (INSTANCE.into(), second.mark.into()));
    assert_eq!(command.env.len(), 2);
    assert_eq!(marks.put(Who::Step, &mut command), None);
    assert_eq!(command.env.len(), 1);
}
