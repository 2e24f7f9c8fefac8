//! Clients that misbehave. None of them may harm anybody else, nor be kept for ever.

use super::kafka;
use crate::{
    dice::Dice,
    findings::Checker,
    logins::CLIENT,
    net::{SimNet, login},
    plan::Rude,
    topology,
};
use kafka_protocol::messages::FetchRequest;
use kroxy_core::address::HostPort;
use runtime::net::Net;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

/// How long one of them stays.
const STAY: Duration = Duration::from_secs(4);
/// How often a flood asks who leads: several times what the proxy takes in at once.
const FLOOD: i32 = 8_000;
/// How often a deaf client asks who leads.
const QUESTIONS: i32 = 400;
/// Connections of a storm.
const STORM: usize = 2_000;
/// How often a deaf client asks for everything that there is.
const GREEDY: i32 = 40;
/// How long a patient client has its broker wait for records.
const PATIENCE: Duration = Duration::from_secs(3);
/// The correlation id of what an intruder asks.
const INTRUSION: i32 = 77;
/// The pause between two bytes.
const DRIBBLE: Duration = Duration::from_millis(10);

/// Misbehaves once.
pub(super) async fn run(how: Rude, net: SimNet, to: HostPort, seed: u64) {
    // Whatever becomes of it is right: it has no claim to anything.
    let _ = timeout(STAY * 2, misbehave(how, net, to, Dice::new(seed))).await;
}

/// Connects again and again without a pause; then all stay, and leave together.
async fn storm(net: &SimNet, to: &HostPort) -> io::Result<()> {
    let mut streams = Vec::new();
    let request = kafka::frame("storm", kafka::METADATA, 1, &kafka::metadata(topology::READINGS))?;
    for _ in 0..STORM {
        let mut stream = net.connect(to).await?;
        stream.write_all(&request).await?;
        streams.push(stream);
    }
    for stream in &mut streams {
        stream.read_i32().await?;
    }
    Ok(())
}

async fn misbehave(how: Rude, net: SimNet, to: HostPort, mut dice: Dice) -> io::Result<()> {
    if how == Rude::Storm {
        return storm(&net, &to).await;
    }
    if how == Rude::Patient {
        return wait(&net.well_behaved().of("patient"), &to).await;
    }
    if how == Rude::Intruder {
        return intrude(&net.intruding(to.port), &to, &mut dice).await;
    }
    // Some come without TLS where there should be.
    let net = if matches!(how, Rude::Garbage | Rude::Silent | Rude::HalfRequest) { net.in_the_clear() } else { net };
    let mut stream = net.connect(&to).await?;
    let question = |n| kafka::frame("rude", kafka::METADATA, n, &kafka::metadata(topology::READINGS));
    match how {
        Rude::HalfRequest => {
            let request = question(1)?;
            stream.write_all(&request[..request.len() / 2]).await?;
            sleep(DRIBBLE).await;
        }
        Rude::Garbage => {
            let garbage: Vec<u8> =
                (0..64).map(|_| dice.between(0..=255)).filter_map(|n| u8::try_from(n).ok()).collect();
            stream.write_all(&garbage).await?;
            let mut answer = Vec::new();
            let _ = timeout(STAY, stream.read_to_end(&mut answer)).await; // it may be closed, or kept waiting
        }
        Rude::Deaf => {
            let ask = async {
                for n in 0..GREEDY {
                    let everything = kafka::fetch(topology::READINGS, 0, Duration::ZERO);
                    stream.write_all(&kafka::frame("rude", kafka::FETCH, n, &everything)?).await?;
                }
                for n in 0..QUESTIONS {
                    stream.write_all(&question(n)?).await?;
                }
                io::Result::Ok(())
            };
            let _ = timeout(STAY, ask).await; // nobody has to take so many questions
            sleep(STAY / 2).await;
        }
        Rude::Silent => sleep(STAY * 2).await,
        Rude::Patient | Rude::Intruder => unreachable!("it has gone another way"),
        Rude::Dribble => {
            for byte in question(1)? {
                stream.write_all(&[byte]).await?;
                sleep(DRIBBLE).await;
            }
            stream.read_i32().await?;
        }
        Rude::Flood => {
            let (mut answers, mut questions) = tokio::io::split(stream);
            let ask = async {
                for n in 0..FLOOD {
                    questions.write_all(&question(n)?).await?;
                }
                io::Result::Ok(())
            };
            let mut nowhere = tokio::io::sink();
            let both = async { tokio::join!(ask, tokio::io::copy(&mut answers, &mut nowhere)) };
            let _ = timeout(STAY, both).await; // however far it comes
        }
        Rude::Storm => unreachable!("a storm has connections of its own"),
        Rude::Impatient => stream.write_all(&question(1)?).await?,
    }
    Ok(())
}

/// Asks a question without having logged in, without having done so to the end, or with a wrong password. Where nobody has to
/// log in it is a question like any other.
async fn intrude(net: &SimNet, to: &HostPort, dice: &mut Dice) -> io::Result<()> {
    let mut stream = net.connect(to).await?;
    let (began, failed) = (dice.per_mille(600), dice.per_mille(600));
    if net.is_intruding() && began {
        kafka::send(&mut stream, &login::handshake(1)?).await?;
        if failed {
            kafka::send(&mut stream, &login::credentials(2, CLIENT, "guess")?).await?;
        }
    }
    let question = kafka::fetch(topology::READINGS, 0, Duration::ZERO);
    kafka::send(&mut stream, &kafka::frame("intruder", kafka::FETCH, INTRUSION, &question)?).await?;
    while net.is_intruding() {
        let length = stream.read_u32().await?;
        let correlation = stream.read_i32().await?;
        if correlation == INTRUSION {
            net.accuse(Checker::Logins, "somebody who has not logged in was answered");
        }
        let rest = u64::from(length).saturating_sub(4);
        tokio::io::copy(&mut (&mut stream).take(rest), &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// Asks for records that nobody sends, and does so again for a while.
async fn wait(net: &SimNet, to: &HostPort) -> io::Result<()> {
    let mut stream = net.connect(to).await?;
    let began = Instant::now();
    for n in 0.. {
        if began.elapsed() >= STAY {
            break;
        }
        let records = kafka::fetch(topology::READINGS, i32::MAX, PATIENCE);
        kafka::send(&mut stream, &kafka::frame("patient", kafka::FETCH, n, &records)?).await?;
        kafka::answer::<FetchRequest>(&mut stream, kafka::FETCH).await?;
        sleep(DRIBBLE * 10).await; // whoever does not lead the partition says so at once
    }
    Ok(())
}
