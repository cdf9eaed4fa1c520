//! Patterns of file names, as Python's `glob` matches them for `[include]`.

/// Whether a part of a path is a pattern rather than a name.
pub fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Whether the file name fits the pattern: `*`, `?`, `[a-z]`, `[!a-z]`. A leading dot must be written out.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut on) = (0, 0);
    // The last `*`, and how much of the name it takes: going back to the last one alone is enough.
    let mut star: Option<(usize, usize)> = None;
    while let Some(char) = name.get(on) {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, on));
                at = at.saturating_add(1);
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(pattern.get(at..).unwrap_or_default(), *char),
            Some(wanted) => (wanted == char).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                at = at.saturating_add(length);
                on = on.saturating_add(1);
            }
            (None, Some((place, taken))) => {
                at = place.saturating_add(1);
                on = taken.saturating_add(1);
                star = Some((place, on));
            }
            (None, None) => return false,
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|char| *char == '*')
}

/// The length of the set at the start of `pattern` when it has `char`; one that is not closed is a plain `[`.
fn set(pattern: &[char], char: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'!');
    let start: usize = if negated { 2 } else { 1 };
    // A `]` that comes first is one of the set.
    let search = pattern.get(start.saturating_add(1)..).unwrap_or_default();
    let Some(length) = search.iter().position(|char| *char == ']') else {
        return (char == '[').then_some(1);
    };
    let close = start.saturating_add(1).saturating_add(length);
    let members = pattern.get(start..close).unwrap_or_default();
    let mut found = false;
    let mut at = 0;
    while let Some(low) = members.get(at) {
        match (members.get(at.saturating_add(1)), members.get(at.saturating_add(2))) {
            (Some('-'), Some(high)) => {
                found |= (*low..=*high).contains(&char);
                at = at.saturating_add(3);
            }
            _ => {
                found |= *low == char;
                at = at.saturating_add(1);
            }
        }
    }
    (found != negated).then_some(close.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*.conf", ".a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c*", "abcd", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("[0-9][!x]*.ini", "7y.ini", true),
            ("[0-9][!x]*.ini", "7x.ini", false),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("**", "x", true),
            ("", "x", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
