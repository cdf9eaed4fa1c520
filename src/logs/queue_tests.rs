use super::*;
use proptest::prelude::*;

fn two(cap: usize) -> (Queue, SourceId, SourceId) {
    let mut queue = Queue::new(cap, 64);
    let block = queue.open("block".to_owned(), OnStall::Block);
    let drop = queue.open("drop".to_owned(), OnStall::Drop);
    (queue, block, drop)
}

fn offer(queue: &mut Queue, source: SourceId, bytes: &[u8]) -> bool {
    let admitted = queue.admit(source, [bytes, b""]);
    if admitted {
        queue.append(source, [bytes, b""], 0);
    }
    admitted
}

fn all(queue: &mut Queue) -> Vec<u8> {
    let bytes = queue.front().concat();
    queue.consume(bytes.len());
    bytes
}

fn lost(queue: &mut Queue, label: &str) -> Lost {
    queue
        .report_drops(usize::MAX, Duration::ZERO, true)
        .into_iter()
        .find(|(name, _)| name == label)
        .map(|(_, lost)| lost)
        .unwrap_or_default()
}

#[test]
fn bytes_leave_in_the_order_they_came() {
    let (mut queue, block, drop) = two(1000);
    offer(&mut queue, block, b"one\n");
    offer(&mut queue, OWN, b"init: two\n");
    offer(&mut queue, drop, b"three\n");
    assert_eq!(all(&mut queue), b"one\ninit: two\nthree\n");
    assert_eq!((queue.len(), queue.services, queue.room(block)), (0, 0, 1000));
}

#[test]
fn a_lone_source_gets_half_and_leaves_room_for_a_quiet_one() {
    let (mut queue, block, drop) = two(1000);
    while queue.room(block) > 0 {
        offer(&mut queue, block, b"123456789\n");
    }
    assert_eq!(queue.len(), 500);
    assert_eq!(queue.room(drop), 500);
    assert!(offer(&mut queue, drop, b"quiet\n"));
}

#[test]
fn inits_lines_pass_while_services_stall_but_not_for_ever() {
    let (mut queue, block, _) = two(100);
    while queue.room(block) > 0 {
        offer(&mut queue, block, b"123456789\n");
    }
    assert!(offer(&mut queue, OWN, &[b'i'; 60]));
    assert!(!offer(&mut queue, OWN, b"too much\n"));
    assert_eq!(lost(&mut queue, "init"), Lost { lines: 1, bytes: 9 });
    all(&mut queue);
    assert!(offer(&mut queue, OWN, b"again\n"));
}

#[test]
fn dropping_keeps_the_newest_lines_and_counts_the_others() {
    let (mut queue, block, drop) = two(1000);
    offer(&mut queue, block, b"stays\n");
    let lines: Vec<String> = (0..1000).map(|n| format!("line {n}\n")).collect();
    assert!(lines.iter().all(|line| offer(&mut queue, drop, line.as_bytes())));
    let dropped = lost(&mut queue, "drop");
    let left = String::from_utf8(all(&mut queue)).unwrap();
    let kept: Vec<&str> = left.lines().collect();
    assert_eq!(kept[0], "stays");
    assert_eq!(kept.last(), Some(&"line 999"));
    assert_eq!(dropped.lines, 1000 - (kept.len() as u64 - 1));
    let first = usize::try_from(dropped.lines).unwrap();
    assert_eq!(kept[1], format!("line {first}"));
    assert_eq!(dropped.bytes, lines[..first].concat().len() as u64);
}

#[test]
fn a_batch_that_finds_others_in_the_way_is_dropped_itself() {
    let (mut queue, block, drop) = two(100);
    offer(&mut queue, block, &[b"x".repeat(120), b"\n".to_vec()].concat());
    assert!(!offer(&mut queue, drop, b"a\nb\n"));
    assert_eq!(lost(&mut queue, "drop"), Lost { lines: 2, bytes: 4 });
}

#[test]
fn a_line_that_has_begun_to_leave_is_never_dropped() {
    let (mut queue, _, drop) = two(160);
    offer(&mut queue, drop, b"begun line\n");
    for n in 0..20 {
        offer(&mut queue, drop, format!("older line {n}\n").as_bytes());
        if n == 0 {
            queue.consume(3);
        }
    }
    assert!(queue.report_due_at().is_some());
    assert!(all(&mut queue).starts_with(b"un line\nolder line 1"));
}

#[test]
fn pinned_bytes_stay() {
    let (mut queue, _, drop) = two(160);
    offer(&mut queue, drop, b"first line\nsecond line\n");
    queue.pin(14);
    for n in 0..30 {
        offer(&mut queue, drop, format!("later line {n}\n").as_bytes());
    }
    assert!(queue.front().concat().starts_with(b"first line\nsecond line\n"));
    queue.consume(14);
    assert!(queue.front().concat().starts_with(b"ond line\n"));
}

#[test]
fn an_open_line_is_closed_before_another_sources() {
    let (mut queue, block, drop) = two(1000);
    offer(&mut queue, block, b"dots..");
    assert!(queue.continues(block) && !queue.continues(drop));
    offer(&mut queue, block, b"..");
    offer(&mut queue, drop, b"line\n");
    offer(&mut queue, block, b" done\n");
    assert_eq!(all(&mut queue), b"dots....\nline\n done\n");
}

#[test]
fn an_open_line_is_remembered_after_it_has_left() {
    let (mut queue, block, drop) = two(1000);
    queue.append(block, [b"dots", b""], 4);
    assert!(queue.is_empty());
    assert_eq!(queue.separator(drop), b"\n");
    // The separator and half of the line went out at once.
    queue.append(drop, [b"line\n", b""], 3);
    assert_eq!(all(&mut queue), b"ne\n");
    assert_eq!(queue.separator(block), b"");
}

#[test]
fn a_closed_account_is_reused_once_nothing_refers_to_it() {
    let (mut queue, block, _) = two(1000);
    offer(&mut queue, block, b"open");
    queue.close(block);
    assert_ne!(queue.open("new".to_owned(), OnStall::Block), block);
    all(&mut queue);
    assert_ne!(queue.open("newer".to_owned(), OnStall::Block), block, "its open line still needs a newline");
    offer(&mut queue, OWN, b"init\n");
    assert_eq!(all(&mut queue), b"\ninit\n");
    assert_eq!(queue.open("newest".to_owned(), OnStall::Block), block);
}

#[test]
fn discarding_counts_and_forgets() {
    let (mut queue, block, drop) = two(1000);
    offer(&mut queue, block, b"one\ntwo\n");
    offer(&mut queue, drop, b"open");
    assert_eq!(queue.discard(), Lost { lines: 3, bytes: 12 });
    assert_eq!((queue.len(), queue.services, queue.separator(block)), (0, 0, &b""[..]));
    assert_eq!(queue.room(drop), 1000);
}

#[derive(Clone, Debug)]
enum Step {
    Offer { source: usize, len: usize, lines: usize },
    Leave(usize),
    Pin(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..4, 1usize..60, 1usize..5).prop_map(|(source, len, lines)| Step::Offer { source, len, lines }),
        2 => (0usize..300).prop_map(Step::Leave),
        1 => (0usize..100).prop_map(Step::Pin),
    ]
}

proptest! {
    /// Every line that was offered arrives whole and in its source's order, or is counted as dropped.
    #[test]
    fn lines_arrive_or_are_counted(steps in prop::collection::vec(step(), 1..200)) {
        let mut queue = Queue::new(600, 120);
        let sources = [
            OWN,
            queue.open("1".to_owned(), OnStall::Block),
            queue.open("2".to_owned(), OnStall::Drop),
            queue.open("3".to_owned(), OnStall::Drop),
        ];
        let (mut offered, mut next, mut left) = ([0u64; 4], [0u64; 4], Vec::new());
        for step in steps {
            match step {
                Step::Offer { source, len, lines } => {
                    if source == 1 && queue.room(sources[1]) == 0 {
                        continue;
                    }
                    let mut batch = String::new();
                    for _ in 0..lines {
                        batch += &format!("{source} {} {}\n", next[source], "x".repeat(len));
                        next[source] += 1;
                    }
                    offered[source] += lines as u64;
                    offer(&mut queue, sources[source], batch.as_bytes());
                }
                Step::Leave(n) => {
                    let front = queue.front().concat();
                    left.extend_from_slice(&front[..n.min(front.len())]);
                    queue.consume(n);
                }
                Step::Pin(n) => queue.pin(n.min(queue.len())),
            }
            let by_account: usize = queue.accounts.iter().map(|account| account.queued).sum();
            prop_assert_eq!(by_account, queue.len());
            prop_assert_eq!(queue.runs.iter().map(|run| run.len).sum::<usize>(), queue.len());
            prop_assert!(queue.services <= 600 + 5 * 80, "{}", queue.services);
            prop_assert!(queue.accounts[0].queued <= 120);
        }
        left.extend(all(&mut queue));
        let text = String::from_utf8(left).unwrap();
        let (mut arrived, mut last) = ([0u64; 4], [None; 4]);
        for line in text.lines() {
            let mut words = line.split(' ');
            let source: usize = words.next().unwrap().parse().unwrap();
            let number: u64 = words.next().unwrap().parse().unwrap();
            prop_assert!(words.next().unwrap().bytes().all(|b| b == b'x') && words.next().is_none());
            prop_assert!(last[source] < Some(number), "{}", line);
            last[source] = Some(number);
            arrived[source] += 1;
        }
        for (source, name) in ["init", "1", "2", "3"].iter().enumerate() {
            let dropped = queue.accounts[sources[source].0].dropped.lost().lines;
            prop_assert_eq!(arrived[source] + dropped, offered[source], "{}", name);
        }
        prop_assert_eq!(queue.accounts[sources[1].0].dropped.lost().lines, 0);
    }
}
