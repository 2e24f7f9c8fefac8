//! Clients that mean harm, in front of the program itself: what each kind costs it, and that a client that behaves is served all the
//! while.
//!
//! Every figure is printed past the test runner. What is demanded is about memory, counts and progress, never about how fast the
//! machine is. Limits that a machine may have lower than a server, such as open files, make a story smaller and never fail it.

mod apart;
mod bombs;
#[path = "../certificates/mod.rs"]
#[expect(dead_code, reason = "the stories of TLS need more of it")]
mod certificates;
mod crowds;
mod figures;
#[path = "../folder/mod.rs"]
mod folder;
#[path = "../frames/mod.rs"]
mod frames;
mod garbage;
mod greedy;
mod guessing;
#[path = "../process/kroxy.rs"]
#[expect(dead_code, reason = "the stories of operators need more of it")]
mod kroxy;
mod peace;
#[path = "../ports/mod.rs"]
mod ports;
mod secrets;
mod slow;
mod threats;
mod upstream;
mod world;
