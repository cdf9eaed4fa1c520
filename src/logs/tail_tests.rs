use super::*;
use proptest::prelude::*;

fn texts(batch: &Batch) -> Vec<String> {
    let text = |line: &Line| format!("{}={}", line.name, String::from_utf8_lossy(&line.bytes));
    batch.lines.iter().map(text).collect()
}

#[test]
fn lines_of_all_names_come_in_their_order() {
    let mut tail = Tail::new(10_000);
    let (web, queue) = (tail.register("web"), tail.register("queue:1"));
    tail.add(web, 1, false, b"a\nb\n");
    tail.add(queue, 1, true, b"c");
    tail.add(web, 1, false, b"d\n");
    let mut all = tail.from_last(10, |_| true);
    let batch = tail.read(&mut all, 10_000, |_| true);
    assert_eq!(texts(&batch), ["web=a", "web=b", "queue:1=c", "web=d"]);
    assert!(batch.lines[2].error && !batch.lines[3].error);
    assert_eq!(tail.read(&mut all, 10_000, |_| true), Batch::default());
    tail.add(queue, 2, false, b"e\n\n");
    assert_eq!(texts(&tail.read(&mut all, 10_000, |_| true)), ["queue:1=e", "queue:1="]);
    let mut two = tail.from_last(2, |name| name == "web");
    assert_eq!(texts(&tail.read(&mut two, 10_000, |name| name == "web")), ["web=b", "web=d"]);
    assert_eq!(tail.counted(), (6, 10));
}

#[test]
fn a_flood_takes_nothing_from_the_quiet() {
    let mut tail = Tail::new(4000);
    let (quiet, loud) = (tail.register("quiet"), tail.register("loud"));
    tail.add(quiet, 0, false, b"the reason\n");
    for number in 0..100_000 {
        tail.add(loud, number, false, format!("line {number}\n").as_bytes());
    }
    assert!(tail.held() <= 4000);
    let mut cursor = tail.from_last(u64::MAX, |_| true);
    let lines = texts(&tail.read(&mut cursor, usize::MAX, |_| true));
    assert_eq!(lines.first().map(String::as_str), Some("quiet=the reason"));
    assert_eq!(lines.last().map(String::as_str), Some("loud=line 99999"));
}

#[test]
fn a_slow_reader_is_told_how_many_lines_it_missed() {
    let mut tail = Tail::new(2000);
    let web = tail.register("web");
    let mut cursor = tail.from_last(0, |_| true);
    for number in 0..1000 {
        tail.add(web, number, false, b"0123456789\n");
    }
    let batch = tail.read(&mut cursor, usize::MAX, |_| true);
    assert_eq!(batch.missed + batch.lines.len() as u64, 1000);
    assert!(batch.missed > 900);
}

#[test]
fn one_batch_larger_than_everything_leaves_its_end() {
    let mut tail = Tail::new(1000);
    let web = tail.register("web");
    tail.add(web, 0, false, b"old\n");
    let mut cursor = tail.from_last(1, |_| true);
    let flood: String = (0..1000).map(|number| format!("{number}\n")).collect();
    tail.add(web, 1, false, flood.as_bytes());
    let batch = tail.read(&mut cursor, usize::MAX, |_| true);
    assert_eq!(batch.lines.last().unwrap().bytes, b"999");
    assert_eq!(batch.missed + batch.lines.len() as u64, 1001);
    tail.add(web, 2, false, &[b'x'; 5000]);
    let batch = tail.read(&mut cursor, usize::MAX, |_| true);
    assert_eq!((batch.lines.len(), batch.missed), (0, 1), "a line longer than everything");
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let mut tail = Tail::new(0);
    let web = tail.register("web");
    tail.add(web, 0, false, b"a\n");
    assert_eq!((web, tail.held(), tail.counted()), (None, 0, (1, 2)));
}

proptest! {
    #[test]
    fn the_budget_holds_and_every_line_is_read_or_missed_once(
        budget in 0_usize..3000,
        adds in proptest::collection::vec((0_usize..4, 0_i64..3, "[a-z\n]{0,60}"), 0..60),
        each in 1_usize..200,
    ) {
        let mut tail = Tail::new(budget);
        let names: Vec<_> = (0..4).map(|name| tail.register(&name.to_string())).collect();
        let mut cursor = tail.from_last(0, |_| true);
        let (mut seen, mut missed) = (0_u64, 0_u64);
        for (name, at, text) in &adds {
            tail.add(names[*name], *at, false, text.as_bytes());
            prop_assert!(tail.held() <= budget);
            let weight: usize = tail.names.iter().map(Name::weight).sum();
            prop_assert_eq!(tail.held(), weight);
            let batch = tail.read(&mut cursor, each, |_| true);
            seen += batch.lines.len() as u64;
            missed += batch.missed;
        }
        let batch = tail.read(&mut cursor, usize::MAX, |_| true);
        seen += batch.lines.len() as u64;
        missed += batch.missed;
        if budget > 0 {
            prop_assert_eq!(seen + missed, tail.counted().0);
        }
        for name in &tail.names {
            let lines: u32 = name.pieces.iter().map(|piece| piece.lines).sum();
            prop_assert_eq!(u64::from(lines), name.came - name.gone);
            let feeds = name.bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(feeds as u64, name.came - name.gone);
        }
    }
}
