//! ActiveMQ with its STOMP connector (Debian: `activemq`).

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::authority::{Authority, Issued};
use crate::port;
use crate::run::{Running, run};
use crate::stomp::Stomp;

/// A broker with its own store and nothing but STOMP, in a folder of its own.
#[derive(Debug)]
pub struct ActiveMq {
    dir: TempDir,
    scheme: &'static str,
    port: u16,
    running: Option<Running>,
}

impl ActiveMq {
    /// A broker that does not run yet.
    #[track_caller]
    pub fn new() -> ActiveMq {
        ActiveMq::made("stomp", "", "")
    }

    /// A broker that does not run yet, speaks TLS with a certificate of this authority, and lets in only clients that have one, too. The user
    /// is `keeper`, the password `swordfish`.
    #[track_caller]
    pub fn with_tls(authority: &Authority) -> ActiveMq {
        let broker = ActiveMq::made("stomp+ssl", TLS, "&amp;transport.needClientAuth=true");
        let Issued { cert, key } = authority.server();
        // Java's stores; each tool can make but one of the two.
        let mut own = Command::new("openssl");
        own.args(["pkcs12", "-export", "-passout", "pass:changeit"]);
        own.arg("-in").arg(cert).arg("-inkey").arg(key).arg("-out").arg(broker.dir.path().join("own.p12"));
        let mut believed = Command::new("keytool");
        believed.args(["-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "changeit"]);
        believed
            .arg("-file")
            .arg(authority.ca())
            .arg("-keystore")
            .arg(broker.dir.path().join("believed.p12"));
        for (name, mut command) in [("openssl", own), ("keytool", believed)] {
            run(&mut command, &broker.dir.path().join(name), b"").is(0);
        }
        broker
    }

    #[track_caller]
    fn made(scheme: &'static str, more: &str, transport: &str) -> ActiveMq {
        let dir = TempDir::with_prefix("attestry-activemq-").expect("a temporary folder can be made");
        let port = port::free();
        let config = CONFIG
            .replace("{more}", more)
            .replace("{transport}", transport)
            .replace("{scheme}", scheme)
            .replace("{dir}", &dir.path().display().to_string())
            .replace("{port}", &port.to_string());
        std::fs::write(dir.path().join("activemq.xml"), config).expect("the configuration can be written");
        ActiveMq { dir, scheme, port, running: None }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
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

    /// Puts a message into a queue.
    #[track_caller]
    pub fn put(&self, queue: &str, body: &[u8]) {
        Stomp::connect(self.port).publish(queue, body);
    }

    /// Takes the first message out of a queue; none when there is none for a second.
    #[track_caller]
    pub fn take(&self, queue: &str) -> Option<Vec<u8>> {
        Stomp::connect(self.port).get(queue)
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
{more}    <transportConnectors>
      <transportConnector name="stomp" uri="{scheme}://127.0.0.1:{port}?transport.maxFrameSize=33554432{transport}"/>
    </transportConnectors>
  </broker>
</beans>
"#;

const TLS: &str = r#"    <plugins><simpleAuthenticationPlugin><users>
      <authenticationUser username="keeper" password="swordfish" groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <sslContext><sslContext keyStore="file:{dir}/own.p12" keyStoreType="PKCS12" keyStorePassword="changeit"
      trustStore="file:{dir}/believed.p12" trustStoreType="PKCS12" trustStorePassword="changeit"/></sslContext>
"#;
