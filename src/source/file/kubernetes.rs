//! What a path that the kubelet has made tells: namespace, pod, container.

use std::path::Path;

/// The names in `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log` or in
/// `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, by field; none where the path is of neither form.
///
/// None of the names has an underscore: that is why the kubelet separates them by it.
fn names(path: &Path) -> Vec<(&'static str, &str)> {
    let Some(path) = path.to_str() else { return Vec::new() };
    let mut parts = path.rsplit('/');
    let (Some(file), Some(dir)) = (parts.next(), parts.next()) else { return Vec::new() };
    let sound = |names: &[&str]| names.iter().all(|name| !name.is_empty());
    if let Some(pod) = parts.next() {
        let instance = file.split_once(".log").is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if let [namespace, name, uid] = pod.split('_').collect::<Vec<_>>()[..]
            && instance
            && sound(&[namespace, name, uid, dir])
        {
            return vec![
                ("kubernetes.namespace", namespace),
                ("kubernetes.pod.name", name),
                ("kubernetes.pod.uid", uid),
                ("kubernetes.container.name", dir),
            ];
        }
    }
    if let Some((stem, _)) = file.split_once(".log")
        && let [name, namespace, container] = stem.split('_').collect::<Vec<_>>()[..]
        && let Some((container, id)) = container.rsplit_once('-')
        && id.len() == 64
        && id.bytes().all(|b| b.is_ascii_hexdigit())
        && sound(&[namespace, name, container])
    {
        return vec![
            ("kubernetes.namespace", namespace),
            ("kubernetes.pod.name", name),
            ("kubernetes.container.name", container),
            ("container.id", id),
        ];
    }
    Vec::new()
}

/// `rendered`, the members for `fields`, with those for the names in `path`. What the source says itself stands.
pub(crate) fn with_names(rendered: &str, fields: &[(String, String)], path: &Path) -> String {
    let mut all = rendered.to_string();
    for (field, value) in names(path) {
        let inside = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if fields.iter().any(|(name, _)| inside(name, field) || inside(field, name)) {
            continue;
        }
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(&format!("\"{field}\":{}", serde_json::Value::from(value)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn fields(path: &str) -> String {
        with_names("", &[], Path::new(path))
    }

    #[test]
    fn both_forms_of_paths_are_known() {
        assert_eq!(
            fields("/var/log/pods/shop_cart-5d8f-x2x_0b1e2d3c-4a5b/app/3.log"),
            r#""kubernetes.namespace":"shop","kubernetes.pod.name":"cart-5d8f-x2x","kubernetes.pod.uid":"0b1e2d3c-4a5b","kubernetes.container.name":"app""#
        );
        assert_eq!(fields("/var/log/pods/a_b_c/d/0.log.20261122-213028"), fields("/var/log/pods/a_b_c/d/1.log"));
        assert_eq!(
            fields(&format!("/var/log/containers/cart-5d8f_shop_side-car-{ID}.log")),
            format!(
                r#""kubernetes.namespace":"shop","kubernetes.pod.name":"cart-5d8f","kubernetes.container.name":"side-car","container.id":"{ID}""#
            )
        );
    }

    #[test]
    fn other_paths_tell_nothing() {
        let short = format!("/var/log/containers/a_b_c-{}.log", &ID[1..]);
        for path in ["/var/log/app/a.log", "/a_b_c/d/x.log", "/a_b/d/0.log", "/a__c/d/0.log", "/a_b_c/d/.log", "0.log", "", &short] {
            assert_eq!(fields(path), "", "{path}");
        }
    }

    #[test]
    fn the_fields_of_the_source_stand() {
        let own = |name: &str| vec![(name.to_string(), "1".to_string())];
        let path = Path::new("/a_b_c/d/0.log");
        assert!(!with_names("\"kubernetes.namespace\":1", &own("kubernetes.namespace"), path).contains("\"a\""));
        assert_eq!(with_names("\"kubernetes\":1", &own("kubernetes"), path), "\"kubernetes\":1");
        assert!(!with_names("\"kubernetes.pod\":1", &own("kubernetes.pod"), path).contains("\"b\""));
        assert!(with_names("\"x\":1", &own("x"), path).starts_with("\"x\":1,\"kubernetes.namespace\":\"a\""));
    }
}
