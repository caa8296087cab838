//! ActiveMQ with its STOMP connector (Debian: `activemq`).

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::run::Running;

/// A broker with its own store and nothing but STOMP, in a folder of its own.
#[derive(Debug)]
pub struct ActiveMq {
    dir: TempDir,
    port: u16,
    running: Option<Running>,
}

impl ActiveMq {
    /// A broker that does not run yet.
    #[track_caller]
    pub fn new() -> ActiveMq {
        let dir = TempDir::with_prefix("attestry-activemq-").expect("a temporary folder can be made");
        let port = port::free();
        let config =
            CONFIG.replace("{dir}", &dir.path().display().to_string()).replace("{port}", &port.to_string());
        std::fs::write(dir.path().join("activemq.xml"), config).expect("the configuration can be written");
        ActiveMq { dir, port, running: None }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("stomp://127.0.0.1:{}", self.port)
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        let path = self.dir.path();
        // Not by `activemq`: that script leaves a process in the background.
        let mut command = Command::new("java");
        command
            .current_dir(path)
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Dactivemq.home=/usr/share/activemq")
            .args(["base", "conf", "data"].map(|name| format!("-Dactivemq.{name}={}", path.display())))
            .args(["--add-opens", "java.base/java.lang=ALL-UNNAMED"])
            .args(["-jar", "/usr/share/activemq/bin/activemq.jar", "start"])
            .arg(format!("xbean:file:{}", path.join("activemq.xml").display()));
        let mut running = Running::start(&mut command, &path.join("server"));
        port::wait_for_listener("activemq", self.port, &mut running);
        self.running = Some(running);
    }

    /// Kills it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().expect("the broker runs");
        running.signal(Signal::KILL);
    }
}

impl Default for ActiveMq {
    fn default() -> ActiveMq {
        ActiveMq::new()
    }
}

const CONFIG: &str = r#"<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="localhost" dataDirectory="{dir}/data"
    useJmx="false" advisorySupport="false" schedulerSupport="false">
    <persistenceAdapter><kahaDB directory="{dir}/data/kahadb"/></persistenceAdapter>
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry queue=">" useCache="true" maxPageSize="1000"/>
    </policyEntries></policyMap></destinationPolicy>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{port}?transport.maxFrameSize=33554432"/>
    </transportConnectors>
  </broker>
</beans>
"#;
