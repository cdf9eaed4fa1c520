//! PURE: how far a word is from the one that was meant. Keys, users and time zones are suggested by it.

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into the other.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len().saturating_add(1);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..width).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(width);
        row.push(i.saturating_add(1));
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j).saturating_add(usize::from(ca != cb));
            let inserted = at(&row, j).saturating_add(1);
            let deleted = at(&last, j.saturating_add(1)).saturating_add(1);
            let mut best = replaced.min(inserted).min(deleted);
            let swapped = i.checked_sub(1).zip(j.checked_sub(1));
            if let Some((pi, pj)) = swapped
                && a.get(pi) == Some(cb)
                && b.get(pj) == Some(ca)
            {
                best = best.min(at(&before, pj).saturating_add(1));
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slip_of_the_finger_counts_once() {
        for (from, to, edits) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "ab", 1),
            ("abc", "abxc", 1),
            ("abc", "axc", 1),
            ("restrat", "restart", 1),
            ("été", "ete", 2),
            ("", "xyz", 3),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
            assert_eq!(distance(to, from), edits, "{to} {from}");
        }
    }
}
