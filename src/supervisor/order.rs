//! Who waits for whom: `after` and `requires` as a graph without cycles.
//!
//! The configuration refuses unknown names and cycles; should one come all the same, the edge is left out here, since
//! a supervisor that waits for ever is worse than one that starts in a doubtful order.

use crate::config::plan::ServicePlan;
use std::collections::BTreeSet;

/// The dependencies of the services, as indices into the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// Dependencies first.
    pub starts: Vec<usize>,
    pub nodes: Vec<Node>,
    /// The greatest [`Node::level`].
    pub depth: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// `after` and `requires`.
    pub waits_for: Vec<usize>,
    pub requires: Vec<usize>,
    /// The services that wait for this one.
    pub dependents: Vec<usize>,
    /// 0 for a service nobody waits for, else one more than the highest of its dependents: the wave of a stop.
    pub level: u32,
}

impl Order {
    /// The order of the services; those that are `retired` keep their place, wait for nobody and are not waited for.
    pub fn new(services: &[ServicePlan], retired: impl Fn(usize) -> bool) -> Self {
        let index = |name: &String| {
            services.iter().enumerate().position(|(unit, service)| service.name == *name && !retired(unit))
        };
        let wanted: Vec<Vec<usize>> = services
            .iter()
            .enumerate()
            .map(|(unit, service)| match retired(unit) {
                true => Vec::new(),
                false => service.after.iter().chain(&service.requires).filter_map(index).collect(),
            })
            .collect();
        let starts = sorted(&wanted);
        let rank = |unit: usize| starts.iter().position(|start| *start == unit);
        let earlier = |unit: usize, dependency: usize| rank(dependency) < rank(unit);
        let mut nodes: Vec<Node> = services
            .iter()
            .enumerate()
            .map(|(unit, service)| {
                let required = service.requires.iter().filter(|_| !retired(unit)).filter_map(index);
                let requires: Vec<usize> = required.filter(|dep| earlier(unit, *dep)).collect();
                let mut waits_for: Vec<usize> = wanted
                    .get(unit)
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|dep| earlier(unit, *dep))
                    .collect();
                waits_for.sort_unstable();
                waits_for.dedup();
                Node { waits_for, requires, dependents: Vec::new(), level: 0 }
            })
            .collect();
        for unit in starts.iter().rev() {
            let Some(Node { waits_for, level, .. }) = nodes.get(*unit).cloned() else { continue };
            for dependency in waits_for {
                if let Some(node) = nodes.get_mut(dependency) {
                    node.dependents.push(*unit);
                    node.level = node.level.max(level.saturating_add(1));
                }
            }
        }
        let depth = nodes.iter().map(|node| node.level).max().unwrap_or(0);
        Self { starts, nodes, depth }
    }

    pub fn node(&self, unit: usize) -> Option<&Node> {
        self.nodes.get(unit)
    }
}

/// Every unit once, after what it waits for; units that are free to go stay in the order of the plan. In a cycle the
/// first unit of the plan goes first.
fn sorted(wanted: &[Vec<usize>]) -> Vec<usize> {
    let units = wanted.len();
    let mut dependents = vec![Vec::new(); units];
    let mut missing = vec![0_usize; units];
    for (unit, dependencies) in wanted.iter().enumerate() {
        for dependency in dependencies.iter().filter(|dependency| **dependency != unit) {
            if let (Some(dependents), Some(missing)) =
                (dependents.get_mut(*dependency), missing.get_mut(unit))
            {
                dependents.push(unit);
                *missing = missing.saturating_add(1);
            }
        }
    }
    let mut left: BTreeSet<usize> = (0..units).collect();
    let mut free: BTreeSet<usize> =
        left.iter().copied().filter(|unit| missing.get(*unit) == Some(&0)).collect();
    let mut sorted = Vec::with_capacity(units);
    while let Some(next) = free.pop_first().or_else(|| left.first().copied()) {
        left.remove(&next);
        sorted.push(next);
        for unit in dependents.get(next).into_iter().flatten() {
            if let Some(missing) = missing.get_mut(*unit) {
                *missing = missing.saturating_sub(1);
                if *missing == 0 && left.contains(unit) {
                    free.insert(*unit);
                }
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::super::tests::plans::service;
    use super::*;

    fn order(services: &[(&str, &[&str])]) -> (Order, Vec<String>) {
        let plans: Vec<ServicePlan> = services
            .iter()
            .map(|(name, after)| {
                let after = after.iter().map(|name| (*name).to_owned()).collect();
                ServicePlan { after, ..service(name) }
            })
            .collect();
        let order = Order::new(&plans, |_| false);
        let names = order.starts.iter().map(|unit| plans[*unit].name.clone()).collect();
        (order, names)
    }

    #[test]
    fn dependencies_come_first_and_the_rest_keeps_the_order_of_the_plan() {
        let (order, names) = order(&[
            ("queue", &["fpm"]),
            ("nginx", &["fpm"]),
            ("fpm", &["cache"]),
            ("cache", &[]),
            ("cat", &[]),
        ]);
        assert_eq!(names, ["cache", "fpm", "queue", "nginx", "cat"]);
        assert_eq!(order.nodes.iter().map(|node| node.level).collect::<Vec<_>>(), [0, 0, 1, 2, 0]);
        assert_eq!(order.depth, 2);
        assert_eq!(order.nodes[2].dependents.len(), 2);
    }

    #[test]
    fn cycles_unknown_names_and_self_references_never_block() {
        let (order, names) = order(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "c", "nobody"])]);
        assert_eq!(names.len(), 3);
        for (unit, node) in order.nodes.iter().enumerate() {
            assert!(!node.waits_for.contains(&unit));
            let rank = |unit: usize| order.starts.iter().position(|start| *start == unit);
            assert!(node.waits_for.iter().all(|dependency| rank(*dependency) < rank(unit)));
        }
    }
}
