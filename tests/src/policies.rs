//! The bucket policies of docs/policies, as SeaweedFS takes them.

use serde_json::Value;

/// The policies of some roles in one: words in capitals replaced, and without the conditions that this server does not know.
/// A role's access key is its name, the repository lies below `r`, the writer is w1, the maintainer `maintainer`.
///
/// # Panics
/// A file is not there, or is no policy.
#[must_use]
pub fn documented(bucket: &str, maintainer: &str, roles: &[&str]) -> String {
    let mut statements = Vec::new();
    for role in roles {
        let path = format!("{}/../docs/policies/{role}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a policy");
        let text = text
            .replace("ROLE", &format!("arn:aws:iam::000000000000:user/{role}"))
            .replace("BUCKET/PREFIX", &format!("{bucket}/r"))
            .replace("BUCKET", bucket)
            .replace("PREFIX", "r")
            .replace("MAINTAINER", maintainer)
            .replace("WRITER", "w1")
            .replace("COMPONENT", "files");
        let mut policy: Value = serde_json::from_str(&text).expect("JSON");
        for statement in policy.pointer_mut("/Statement").and_then(Value::as_array_mut).expect("statements") {
            let asks = |what: &str| statement.pointer(&format!("/Condition/{what}")).is_some();
            let unknown = asks("Null/s3:if-none-match") || asks("Bool/s3:ObjectCreationOperation");
            let sid = format!("{role}{}", statement.get("Sid").and_then(Value::as_str).expect("a name"))
                .replace('-', "");
            let fields = statement.as_object_mut().expect("fields");
            if unknown {
                fields.remove("Condition");
            }
            fields.insert("Sid".into(), sid.into());
            statements.push(statement.clone());
        }
    }
    serde_json::json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}
