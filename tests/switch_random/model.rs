//! The decision table of doc/protocols/nsss.md, section 7, worked out backend by backend.

use crate::Plan;
use crate::fake::{Act, PIECE};
use crate::support::naive::Naive;
use crate::support::{grouplist_reply, op};

const NOT_FOUND: u8 = 255;
const EIO: u8 = 5;
const ERANGE: u8 = 34;

/// Status and head of a passwd and of a group record; shadow records are small here.
const HEAD: usize = 13;

/// What a client may see.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// One of these replies.
    Reply(Vec<Vec<u8>>),
    /// A part of this reply, not all of it, and the end.
    Broken(Vec<u8>),
}

/// A backend as the switch knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Alive,
    /// It has ended behind a whole reply; whether the switch has noticed, nobody can tell.
    Gone,
    Dead,
}

struct Backend {
    bits: u8,
    state: State,
    naive: Naive,
    acts: Vec<(usize, Act)>,
    asked: usize,
}

/// How asking one backend ended.
#[derive(Clone, PartialEq, Eq)]
enum Outcome {
    Reply(Vec<u8>),
    Dead,
    Broken(Vec<u8>),
}

/// A switch and its backends.
pub struct Model {
    backends: Vec<Backend>,
    merge: bool,
}

impl Model {
    pub fn new(plans: &[Plan], merge: bool) -> Model {
        let backends = plans.iter().map(|plan| Backend {
            bits: plan.bits,
            state: if plan.is_missing() { State::Dead } else { State::Alive },
            naive: Naive::new(&plan.files[0], &plan.files[1], &plan.files[2]),
            acts: plan.acts(),
            asked: 0,
        });
        Model { backends: backends.collect(), merge }
    }

    /// How many backends have failed for good that had been there.
    pub fn failures(&self) -> usize {
        self.backends.iter().filter(|b| b.asked > 0 && b.state != State::Alive).count()
    }

    pub fn answer(&mut self, request: &[u8]) -> Seen {
        match request[0] & 7 {
            0 => {
                self.backends.iter_mut().for_each(|b| drop(b.ask(request)));
                Seen::Reply(vec![vec![0]])
            }
            1 => self.rewind(request),
            5 if self.merge => self.merged(request),
            _ => self.in_order(request),
        }
    }

    fn rewind(&mut self, request: &[u8]) -> Seen {
        let mut last = EIO;
        for backend in &mut self.backends {
            match backend.ask(request) {
                Outcome::Reply(reply) if last != 0 => last = reply[0],
                _ => {}
            }
        }
        Seen::Reply(vec![vec![last]])
    }

    fn in_order(&mut self, request: &[u8]) -> Seen {
        // What the last backend said that was really asked; more than one where nobody can tell
        // which that was.
        let mut last = vec![vec![EIO]];
        for backend in &mut self.backends {
            let before = backend.state;
            let (said, bit) = match backend.ask(request) {
                Outcome::Broken(reply) => return Seen::Broken(reply),
                Outcome::Dead => (vec![EIO], 1),
                Outcome::Reply(reply) => match reply[..] {
                    [0, ..] => return Seen::Reply(vec![reply]),
                    [NOT_FOUND] => (reply, 4),
                    _ => (reply, 2),
                },
            };
            if backend.bits & bit != 0 {
                return Seen::Reply(vec![said]);
            }
            match before {
                State::Alive => last = vec![said],
                State::Gone => last.push(said),
                State::Dead => {}
            }
        }
        Seen::Reply(last)
    }

    fn merged(&mut self, request: &[u8]) -> Seen {
        let mut union: Option<Vec<u32>> = None;
        let mut last = vec![vec![EIO]];
        for backend in &mut self.backends {
            let before = backend.state;
            // The switch asks for all groups, however few its client wants.
            let mut all = request.to_vec();
            all[1..9].copy_from_slice(&65_536u64.to_be_bytes());
            let (said, bit) = match backend.ask(&all) {
                Outcome::Broken(_) => panic!("a list is small"),
                Outcome::Dead => (vec![EIO], 1),
                Outcome::Reply(reply) => match reply[..] {
                    [0, ..] => {
                        let gids = union.get_or_insert_default();
                        for gid in reply[17..].chunks(4) {
                            let gid = u32::from_be_bytes(gid.try_into().unwrap());
                            if !gids.contains(&gid) {
                                gids.push(gid);
                            }
                        }
                        continue;
                    }
                    [NOT_FOUND] => (reply, 4),
                    _ => (reply, 2),
                },
            };
            if backend.bits & bit != 0 {
                return Seen::Reply(vec![said]);
            }
            match before {
                State::Alive => last = vec![said],
                State::Gone => last.push(said),
                State::Dead => {}
            }
        }
        let Some(gids) = union else { return Seen::Reply(last) };
        assert_eq!(request[0], op::GRP_GETLIST);
        let room = u64::from_be_bytes(request[1..9].try_into().unwrap());
        Seen::Reply(vec![match gids.len() {
            ..=4096 => grouplist_reply(room, &gids),
            _ => vec![ERANGE],
        }])
    }
}

impl Backend {
    fn ask(&mut self, request: &[u8]) -> Outcome {
        if self.state != State::Alive {
            self.state = State::Dead;
            return Outcome::Dead;
        }
        let number = self.asked;
        self.asked += 1;
        let reply = self.naive.answer(request);
        let act = self.acts.iter().find(|(at, _)| *at == number).map(|(_, act)| act);
        let cut = match act {
            None | Some(Act::Drip) => return Outcome::Reply(reply),
            Some(Act::Status(status)) => return Outcome::Reply(vec![*status]),
            Some(Act::Crash(bytes)) if *bytes >= reply.len() => {
                self.state = State::Gone;
                return Outcome::Reply(reply);
            }
            Some(Act::Crash(bytes)) => *bytes,
            Some(Act::Hang(bytes)) => (reply.len() - 1).min(*bytes),
            Some(Act::Garbage | Act::Excess) => 0,
        };
        self.state = State::Dead;
        match reply.len() > PIECE && cut >= HEAD {
            true => Outcome::Broken(reply),
            false => Outcome::Dead,
        }
    }
}
