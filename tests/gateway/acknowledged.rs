//! The invocations that a test's senders were told are taken.

use super::floe::Floe;
use super::{python, send};

const HOUR: u64 = 3_600_000_000_000;

/// Ids of invocations; a gateway answered 200 to each.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Vec<String>);

impl Acknowledged {
    /// Sends `<name>-0` of this hour and `<name>-1` of the last: two rows in two partitions.
    pub fn send(&mut self, floe: &Floe, name: &str) {
        for hour in 0..2 {
            self.send_at(floe, &format!("{name}-{hour}"), send::now_nanos() - hour * HOUR);
        }
    }

    /// Sends one invocation of now.
    pub fn send_one(&mut self, floe: &Floe, id: &str) {
        self.send_at(floe, id, send::now_nanos());
    }

    fn send_at(&mut self, floe: &Floe, id: &str, start: u64) {
        let body = send::body(vec![send::invocation(id, "checkout", start)]);
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200, "{id}\n{}", floe.log());
        self.push(id);
    }

    /// One that the test sent itself, or another writer wrote.
    pub fn push(&mut self, id: &str) {
        self.0.push(id.to_owned());
    }

    /// The multiset of ids in the table is that of the acknowledged ones, in the eyes of PyIceberg.
    pub fn check(&self, floe: &Floe, what: &str) {
        let mut expected = self.0.clone();
        expected.sort();
        assert_eq!(python::column(floe, "invocations", "invocation_id"), expected, "{what}\n{}", floe.log());
    }
}
