//! Who waits for whom: names that exist, and no circles.

use super::build::Builder;
use crate::config::schema::Service;
use crate::config::suggest;
use crate::config::values::{At, Named};

/// The names in `list` that run here. Names that no layer declares are errors; those that are switched off or of
/// another role are left out.
pub fn dependencies(
    builder: &mut Builder<'_>,
    owner: &str,
    key: &str,
    list: Option<&[At<String>]>,
    present: &[&str],
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for name in list.unwrap_or_default() {
        if present.contains(&name.value.as_str()) || builder.is_open(&name.value) {
            if !out.contains(&name.value) {
                out.push(name.value.clone());
            }
            continue;
        }
        let declared: Vec<&str> = builder.declared.iter().map(String::as_str).collect();
        if !declared.contains(&name.value.as_str()) && !unknown.contains(&name.value.as_str()) {
            unknown.push(&name.value);
            let shown = builder.show(name);
            // Itself is never what was meant.
            let others: Vec<&str> = declared.into_iter().filter(|other| *other != owner).collect();
            let hint = suggest::hint(&name.value, &others, "other services");
            let message = format!("[service.{owner}] is {key} \"{shown}\", which is no service: {hint}");
            builder.error(name.loc, message);
        }
    }
    out
}

/// Reports each circle of `after` and `requires` once.
pub fn circles(builder: &mut Builder<'_>, services: &Named<Service>) {
    let edges: Vec<(&str, Vec<&At<String>>)> = services
        .0
        .iter()
        .map(|(name, service)| {
            let lists = [&service.value.after, &service.value.requires];
            (name.value.as_str(), lists.into_iter().flatten().flatten().collect())
        })
        .collect();
    let mut done: Vec<&str> = Vec::new();
    for (name, _) in &edges {
        let mut trail = Vec::new();
        visit(builder, &edges, name, &mut trail, &mut done);
    }
}

fn visit<'a>(
    builder: &mut Builder<'_>,
    edges: &'a [(&'a str, Vec<&'a At<String>>)],
    name: &'a str,
    trail: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) {
    if done.contains(&name) {
        return;
    }
    trail.push(name);
    let next = edges.iter().find(|(from, _)| *from == name).map(|(_, to)| to.as_slice()).unwrap_or_default();
    for to in next {
        match trail.iter().position(|on_trail| *on_trail == to.value) {
            Some(start) => {
                let mut circle: Vec<&str> = trail.iter().skip(start).copied().collect();
                circle.push(to.value.as_str());
                let message = format!("services wait for each other in a circle: {}", circle.join(" → "));
                builder.error(to.loc, message);
            }
            None if trail.len() < edges.len() => visit(builder, edges, to.value.as_str(), trail, done),
            None => {}
        }
    }
    trail.pop();
    done.push(name);
}
