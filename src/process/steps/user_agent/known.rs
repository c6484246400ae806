//! What is known of agents and systems.

/// A browser: known by `sign` (and by `needs`), with its version behind `version`.
pub(super) struct Browser {
    pub(super) sign: &'static str,
    pub(super) needs: Option<&'static str>,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

const fn browser(sign: &'static str, name: &'static str) -> Browser {
    Browser { sign, needs: None, name, version: sign }
}

const fn mobile(sign: &'static str, needs: &'static str, name: &'static str, version: &'static str) -> Browser {
    Browser { sign, needs: Some(needs), name, version }
}

/// Those that pretend to be others come before these.
pub(super) const BROWSERS: [Browser; 27] = [
    browser("EdgiOS/", "Edge Mobile"),
    browser("EdgA/", "Edge Mobile"),
    browser("Edg/", "Edge"),
    browser("Edge/", "Edge"),
    browser("OPiOS/", "Opera Mini"),
    browser("Opera Mini/", "Opera Mini"),
    mobile("OPR/", "Mobile", "Opera Mobile", "OPR/"),
    browser("OPR/", "Opera"),
    mobile("Opera/", "Version/", "Opera", "Version/"),
    browser("Opera/", "Opera"),
    browser("SamsungBrowser/", "Samsung Internet"),
    browser("YaBrowser/", "Yandex Browser"),
    browser("Vivaldi/", "Vivaldi"),
    browser("UCBrowser/", "UC Browser"),
    browser("DuckDuckGo/", "DuckDuckGo Mobile"),
    browser("FxiOS/", "Firefox iOS"),
    mobile("Firefox/", "Mobile", "Firefox Mobile", "Firefox/"),
    browser("Firefox/", "Firefox"),
    browser("CriOS/", "Chrome Mobile iOS"),
    browser("HeadlessChrome/", "HeadlessChrome"),
    mobile("Chrome/", "Mobile", "Chrome Mobile", "Chrome/"),
    browser("Chrome/", "Chrome"),
    Browser { sign: "MSIE ", needs: None, name: "IE", version: "MSIE " },
    mobile("Trident/", "rv:", "IE", "rv:"),
    mobile("Safari/", "Android", "Android", "Version/"),
    mobile("Safari/", "Mobile", "Mobile Safari", "Version/"),
    mobile("Safari/", "Version/", "Safari", "Version/"),
];

/// Libraries, tools and probes: how they begin, and their name.
pub(super) const TOOLS: [(&str, &str); 37] = [
    ("curl", "curl"),
    ("Wget", "Wget"),
    ("wget", "Wget"),
    ("HTTPie", "HTTPie"),
    ("PostmanRuntime", "PostmanRuntime"),
    ("insomnia", "insomnia"),
    ("python-requests", "Python Requests"),
    ("Python-urllib", "Python-urllib"),
    ("python-urllib3", "Python urllib3"),
    ("python-httpx", "Python httpx"),
    ("aiohttp", "aiohttp"),
    ("Go-http-client", "Go-http-client"),
    ("okhttp", "okhttp"),
    ("Apache-HttpClient", "Apache-HttpClient"),
    ("Java-http-client", "Java-http-client"),
    ("Java", "Java"),
    ("Jakarta Commons-HttpClient", "Jakarta Commons-HttpClient"),
    ("axios", "axios"),
    ("node-fetch", "node-fetch"),
    ("undici", "undici"),
    ("got", "got"),
    ("Ruby", "Ruby"),
    ("Faraday", "Faraday"),
    ("GuzzleHttp", "GuzzleHttp"),
    ("libwww-perl", "libwww-perl"),
    ("reqwest", "reqwest"),
    ("Dalvik", "Dalvik"),
    ("CFNetwork", "CFNetwork"),
    ("kube-probe", "kube-probe"),
    ("ELB-HealthChecker", "ELB-HealthChecker"),
    ("GoogleHC", "GoogleHC"),
    ("Prometheus", "Prometheus"),
    ("Blackbox Exporter", "Blackbox Exporter"),
    ("Grafana", "Grafana"),
    ("Elastic-Heartbeat", "Elastic-Heartbeat"),
    ("facebookexternalhit", "FacebookBot"),
    ("ApacheBench", "ApacheBench"),
];

/// A system: known by `sign`, behind which its version may stand, which may have another name in public.
pub(super) struct System {
    pub(super) sign: &'static str,
    pub(super) name: &'static str,
    pub(super) versions: &'static [(&'static str, &'static str)],
}

const fn system(sign: &'static str, name: &'static str) -> System {
    System { sign, name, versions: &[] }
}

pub(super) const SYSTEMS: &[System] = &[
    system("Windows Phone OS", "Windows Phone"),
    system("Windows Phone", "Windows Phone"),
    System {
        sign: "Windows NT",
        name: "Windows",
        versions: &[
            ("10.0", "10"),
            ("6.3", "8.1"),
            ("6.2", "8"),
            ("6.1", "7"),
            ("6.0", "Vista"),
            ("5.2", "XP"),
            ("5.1", "XP"),
            ("5.0", "2000"),
        ],
    },
    system("Windows", "Windows"),
    system("CPU iPhone OS", "iOS"),
    system("iPhone OS", "iOS"),
    system("CPU OS", "iOS"),
    system("Android", "Android"),
    system("Mac OS X", "Mac OS X"),
    system("CrOS", "Chrome OS"),
    system("Ubuntu", "Ubuntu"),
    system("Fedora", "Fedora"),
    system("Debian", "Debian"),
    system("FreeBSD", "FreeBSD"),
    system("OpenBSD", "OpenBSD"),
    system("Tizen", "Tizen"),
    system("Linux", "Linux"),
];
