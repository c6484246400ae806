use super::metadata::address;
use crate::process::chain::Chain;
use crate::process::event::Document;
use crate::process::steps::testing::{chain, wrong};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A metadata service on loopback that answers as `answer` says, and notes what it is asked.
fn service(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let notes = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let answer = answer(&request);
            notes.lock().unwrap().push(request.lines().next().unwrap_or_default().to_string());
            match answer {
                Some(body) => drop(stream.write_all(body.as_bytes())),
                // Says nothing until the other side gives up.
                None => drop(stream.read(&mut byte)),
            }
        }
    });
    (url, asked)
}

fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn refused() -> Option<String> {
    Some("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".into())
}

fn shown(chain: &mut Chain) -> String {
    let mut document = Document::default();
    document.begin_with(r#"{"cloud":{"region":"mine"}}"#, 0).unwrap();
    chain.run(&mut document, &mut 0);
    let mut out = Vec::new();
    document.render(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_each_providers_service_says_is_in_each_event() {
    let (url, asked) = service(|request| match request.lines().next()? {
        "PUT /latest/api/token HTTP/1.1" if request.contains("token-ttl-seconds: 60") => ok("secret-token"),
        "GET /latest/dynamic/instance-identity/document HTTP/1.1" if request.contains("metadata-token: secret-token\r\n") => ok(
            r#"{"accountId":"123456789012","region":"eu-central-1","availabilityZone":"eu-central-1b","instanceId":"i-0abc","instanceType":"m5.large"}"#,
        ),
        "GET /metadata/instance/compute?api-version=2021-02-01&format=json HTTP/1.1" if request.contains("Metadata: true\r\n") => {
            ok(r#"{"location":"westeurope","zone":"2","vmId":"13f5","vmSize":"Standard_D2","subscriptionId":"8d1","name":"web-1"}"#)
        }
        first if request.contains("Metadata-Flavor: Google\r\n") => match first.split(' ').nth(1)?.strip_prefix("/computeMetadata/v1/")? {
            "instance/zone" => ok("projects/77/zones/europe-west3-a"),
            "instance/id" => ok("4711"),
            "instance/name" => Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nweb\r\n2;x\r\n-2\r\n0\r\n\r\n".into()),
            "instance/machine-type" => ok("projects/77/machineTypes/e2-small"),
            "project/project-id" => ok("shop"),
            _ => refused(),
        },
        _ => refused(),
    });
    let of = |provider: &str| {
        let mut chain = chain(&format!("[{{cloud: {{provider: {provider}, endpoint: {url:?}, timeout: 20s}}}}]"));
        let (before, copy) = (shown(&mut chain), chain.clone());
        assert_eq!(before, r#"{"cloud":{"region":"mine"}}"#, "nothing is asked on the way of an event");
        copy.prepare();
        shown(&mut chain)
    };
    assert_eq!(
        of("aws"),
        r#"{"cloud":{"region":"mine","provider":"aws","account":{"id":"123456789012"},"availability_zone":"eu-central-1b","instance":{"id":"i-0abc"},"machine":{"type":"m5.large"}}}"#
    );
    assert_eq!(
        of("azure"),
        r#"{"cloud":{"region":"mine","provider":"azure","account":{"id":"8d1"},"availability_zone":"westeurope-2","instance":{"id":"13f5","name":"web-1"},"machine":{"type":"Standard_D2"}}}"#
    );
    assert_eq!(
        of("gcp"),
        r#"{"cloud":{"region":"mine","provider":"gcp","project":{"id":"shop"},"availability_zone":"europe-west3-a","instance":{"id":"4711","name":"web-2"},"machine":{"type":"e2-small"}}}"#
    );
    let before = asked.lock().unwrap().len();
    let mut few = chain(&format!("[{{cloud: {{provider: aws, endpoint: {url:?}, timeout: 20s, fields: cloud.instance}}}}]"));
    let copy = few.clone();
    few.prepare();
    copy.prepare();
    assert_eq!(shown(&mut few), r#"{"cloud":{"region":"mine","instance":{"id":"i-0abc"}}}"#);
    assert_eq!(asked.lock().unwrap().len(), before + 2, "all users of a chain ask once");
}

#[test]
fn a_service_that_does_not_answer_holds_up_no_start() {
    for answer in [None, refused(), Some("nonsense".to_string()), ok("no JSON"), ok(&"x".repeat(70 << 10))] {
        let (url, _) = service(move |_| answer.clone());
        let mut chain = chain(&format!("[{{cloud: {{provider: azure, endpoint: {url:?}, timeout: 300ms}}}}]"));
        chain.prepare();
        assert_eq!(shown(&mut chain), r#"{"cloud":{"region":"mine"}}"#);
    }
}

#[test]
fn endpoints_are_addresses() {
    assert_eq!(address("http://169.254.169.254").unwrap().to_string(), "169.254.169.254:80");
    assert_eq!(address("http://[fd00:ec2::254]/").unwrap().to_string(), "[fd00:ec2::254]:80");
    assert_eq!(address("http://127.0.0.1:81").unwrap().port(), 81);
    assert!(address("https://169.254.169.254").is_none() && address("http://metadata.google.internal").is_none());
    let said = wrong("[{cloud: {endpoint: 'http://metadata', provider: amazon}}]");
    assert!(said.contains("`http://` and an IP address") && said.contains("one of: `auto`, `aws`, `gcp`, `azure`"), "{said}");
}
