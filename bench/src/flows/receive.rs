//! Syslog and GELF in, by datagrams and by streams.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::lines::{Form, Lines};
use super::node::{Node, authority};
use super::{Line, Setting, until};

/// How datagrams are sent.
#[derive(Clone, Copy)]
enum Pace {
    /// So many a second.
    Each(u64),
    /// As fast as they can be sent.
    Flood,
}

/// How long datagrams are sent at a pace.
const PACED: u64 = 10;

/// Datagrams are handed to the kernel this often.
const STEP: Duration = Duration::from_millis(1);

pub(super) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    for (name, protocol, form) in [("syslog", "syslog", Form::Syslog), ("GELF", "gelf", Form::Gelf)] {
        stream(setting, &format!("{name} in, TCP"), protocol, form, out)?;
        for pace in [Pace::Each(setting.datagrams), Pace::Flood] {
            datagrams(setting, name, protocol, form, pace, out)?;
        }
    }
    Ok(())
}

fn receiver(setting: &Setting<'_>, protocol: &str, scheme: &str) -> Result<(Node, String)> {
    let at = authority(setting.port + 1);
    let config = format!("receivers:\n  in: {{{protocol}: {{listen: \"{scheme}://{at}\"}}}}\n");
    Ok((Node::server(setting.binary, setting.port, &config)?, at))
}

fn stream(setting: &Setting<'_>, flow: &str, protocol: &str, form: Form, out: &mut dyn Write) -> Result<()> {
    let lines = Lines::new(form, setting.events);
    let (node, at) = receiver(setting, protocol, "tcp")?;
    let (cpu, begin) = (node.process()?.cpu()?, Instant::now());
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| TcpStream::connect(&at)?.write_all(lines.stream()));
        let grown = until(lines.count(), false, || node.number("receivers", "kept"))?;
        sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        anyhow::Ok(grown)
    })?;
    let wall = Some(sent.last.1 - begin);
    let cpu = node.process()?.settled()? - cpu;
    Line { flow, events: lines.count(), wall, cpu, losses: String::new() }.print(out)
}

fn datagrams(
    setting: &Setting<'_>,
    name: &str,
    protocol: &str,
    form: Form,
    pace: Pace,
    out: &mut dyn Write,
) -> Result<()> {
    let (count, how) = match pace {
        Pace::Each(each) => (each * PACED, format!("{each}/s")),
        Pace::Flood => (setting.events, "flood".to_owned()),
    };
    let lines = Lines::new(form, count);
    let (node, at) = receiver(setting, protocol, "udp")?;
    let (cpu, begin) = (node.process()?.cpu()?, Instant::now());
    let (grown, sending) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&lines, &at, pace));
        let grown = until(count, true, || node.number("receivers", "kept"))?;
        anyhow::Ok((grown, sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??))
    })?;
    let cpu = node.process()?.settled()? - cpu;
    let came = node.get(setting.port, &format!("count?q=event_name:{protocol}.message"))?;
    let came = came["count"].as_u64().unwrap_or(0);
    let gaps = node.get(setting.port, "stats?q=event_name:gap.datagram&calc=sum(event_data.count)")?;
    let declared = gaps["rows"][0][0].as_f64().unwrap_or(0.0) as u64;
    let losses =
        format!("sent {count} in {:.1} s, lost {}, declared {declared}", sending.as_secs_f64(), count - came);
    let flow = format!("{name} in, UDP, {how}");
    Line { flow: &flow, events: came, wall: Some(grown.last.1 - begin), cpu, losses }.print(out)
}

/// Sends all; gives how long that took.
fn send(lines: &Lines, to: &str, pace: Pace) -> Result<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(to)?;
    let begin = Instant::now();
    for (number, datagram) in lines.datagrams().enumerate() {
        if let Pace::Each(each) = pace {
            let due = Duration::from_secs_f64(number as f64 / each as f64);
            // In small bursts: to sleep before each would take more time than there is.
            if begin.elapsed() + STEP < due {
                std::thread::sleep(STEP);
            }
        }
        socket.send(datagram)?;
    }
    Ok(begin.elapsed())
}
