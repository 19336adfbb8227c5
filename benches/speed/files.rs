//! The files that are asked about, and the replies that they must give.
#![allow(dead_code, reason = "two benches share it, and each uses a part")]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Users of the short passwd file.
pub const FEW: u32 = 30;
/// Users of the long one, and members of the large group.
pub const MANY: u32 = 100_000;
/// Members of a group that is streamed, as the large one is, and small all the same.
pub const SOME: u32 = 1000;
/// A file this old is trusted: its timestamps would tell a later write apart.
const SETTLED: Duration = Duration::from_secs(3);

/// Names in the registry of the map.
const REGISTERED: u32 = 10_000;
/// The uid of one of them.
const MAPPED: u32 = 1_900_000_000;

/// PWD_GETBYUID.
const PWD_GETBYUID: u8 = 0x0c;
/// PWD_GETBYNAME.
const PWD_GETBYNAME: u8 = 0x0b;
/// GRP_GETBYNAME.
const GRP_GETBYNAME: u8 = 0x13;
/// PWD_REWIND.
const PWD_REWIND: u8 = 0x09;
/// PWD_GET.
const PWD_GET: u8 = 0x0a;
/// PWD_END: answered without a look at any file.
pub const PWD_END: [u8; 1] = [0x08];
/// The status of success.
pub const DONE: [u8; 1] = [0];

/// A request and the reply it must get, byte for byte.
pub struct Question {
    /// What is sent.
    pub request: Vec<u8>,
    /// What must come back.
    pub reply: Vec<u8>,
}

impl Question {
    fn by_name(opcode: u8, name: &str, numbers: &[u32], strings: &[&str]) -> Question {
        let mut request = vec![opcode];
        request.extend((name.len() as u32 + 1).to_be_bytes());
        request.extend(name.bytes().chain([0]));
        let mut reply = vec![0];
        reply.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        reply.extend(strings.iter().flat_map(|string| string.bytes().chain([0])));
        Question { request, reply }
    }
}

/// One user.
struct User {
    name: String,
    id: u32,
    gecos: &'static str,
}

impl User {
    /// With a name of five letters, the request is 10 bytes long and the reply 40.
    fn of_few(number: u32) -> User {
        User { name: format!("us{number:03}"), id: 1000 + number, gecos: "" }
    }

    fn of_many(number: u32) -> User {
        User { name: format!("user{number:06}"), id: 10_000 + number, gecos: "Some Name" }
    }

    fn home(&self) -> String {
        format!("/home/{}", self.name)
    }

    fn line(&self) -> String {
        let User { name, id, gecos } = self;
        format!("{name}:*:{id}:{id}:{gecos}:{}:/bin/sh\n", self.home())
    }

    fn question(&self) -> Question {
        let home = self.home();
        let strings = [self.name.as_str(), "*", self.gecos, &home, "/bin/sh"];
        let len: usize = strings.iter().map(|string| string.len() + 1).sum();
        Question::by_name(PWD_GETBYNAME, &self.name, &[self.id, self.id, len as u32], &strings)
    }

    fn question_by_id(&self) -> Question {
        let mut request = vec![PWD_GETBYUID];
        request.extend(self.id.to_be_bytes());
        Question { request, ..self.question() }
    }

    /// As the C libraries ask.
    fn question_by_nscd(&self, password: &str) -> Question {
        let home = self.home();
        let strings = [self.name.as_str(), password, self.gecos, &home, "/bin/sh"];
        let [name, password, gecos, dir, shell] = strings.map(|string| string.len() as u32 + 1);
        let head = [2, 1, name, password, self.id, self.id, gecos, dir, shell];
        by_nscd(0, &self.name, &head, &strings)
    }
}

fn members(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("member{number:06}")).collect()
}

/// The name and the gid of the group with so many members.
fn group_name(count: u32) -> (String, u32) {
    (format!("g{count}"), 500_000 + count)
}

fn group_line(count: u32) -> String {
    let (name, gid) = group_name(count);
    format!("{name}:x:{gid}:{}\n", members(count).join(","))
}

/// Asks for the group with so many members: `FEW`, `SOME` or `MANY`.
pub fn group_question(count: u32) -> Question {
    let ((name, gid), members) = (group_name(count), members(count));
    let mut strings = vec![name.as_str(), "x"];
    strings.extend(members.iter().map(String::as_str));
    let len: usize = strings.iter().map(|string| string.len() + 1).sum();
    Question::by_name(GRP_GETBYNAME, &name, &[gid, len as u32, count], &strings)
}

/// Asks for the last user of the short file.
pub fn last_of_few() -> Question {
    User::of_few(FEW).question()
}

/// A question as the C libraries ask it.
fn by_nscd(kind: u32, key: &str, reply: &[u32], strings: &[&str]) -> Question {
    let native = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<_>>();
    let mut request = native(&[2, kind, key.len() as u32 + 1]);
    request.extend(key.bytes().chain([0]));
    let mut reply = native(reply);
    reply.extend(strings.iter().flat_map(|string| string.bytes().chain([0])));
    Question { request, reply }
}

/// Asks for the last user of the short file as the C libraries do.
pub fn last_of_few_by_nscd() -> Question {
    User::of_few(FEW).question_by_nscd("*")
}

/// Asks a userdb at a socket of this name for that user. Only root is told that shadow has nothing.
pub fn last_of_few_by_userdb(service: &str) -> Question {
    let User { name, id, .. } = &User::of_few(FEW);
    let home = User::of_few(FEW).home();
    let incomplete = !rustix::process::geteuid().is_root();
    let request = format!(
        "{{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{{\"userName\":\"{name}\",\
         \"service\":\"{service}\"}}}}\0"
    );
    let reply = format!(
        "{{\"parameters\":{{\"record\":{{\"userName\":\"{name}\",\"uid\":{id},\"gid\":{id},\"realName\":\"\",\
         \"homeDirectory\":\"{home}\",\"shell\":\"/bin/sh\",\"service\":\"{service}\"}},\
         \"incomplete\":{incomplete}}}}}\0"
    );
    Question { request: request.into(), reply: reply.into() }
}

/// The same of [`Files::few_x`].
pub fn last_of_few_x_by_nscd() -> Question {
    User::of_few(FEW).question_by_nscd("x")
}

/// Asks for the user in that line, from 1 on, of a file of [`Files::sized`], as the C libraries do.
pub fn of_sized_by_nscd(line: u32) -> Question {
    User::of_many(line).question_by_nscd("*")
}

/// A request of the C libraries.
pub fn asked_by_nscd(kind: u32, key: &str) -> Vec<u8> {
    by_nscd(kind, key, &[], &[]).request
}

/// Asks a source of `cargo bench --bench burst` for the user of that number, as the C libraries do.
pub fn of_source_by_nscd(number: u32) -> Question {
    let name = format!("u{number}");
    let head = [2, 1, name.len() as u32 + 1, 2, number, number, 1, 2, 8];
    by_nscd(0, &name, &head, &[&name, "*", "", "/", "/bin/sh"])
}

/// Asks for somebody who is not there, as the C libraries do.
pub fn nobody_by_nscd() -> Question {
    by_nscd(0, "nosuch", &[2, 0, 0, 0, u32::MAX, u32::MAX, 0, 0, 0], &[])
}

/// [`group_question`] as the C libraries ask it.
pub fn group_by_nscd(count: u32) -> Question {
    let ((name, gid), members) = (group_name(count), members(count));
    let mut strings = vec![name.as_str(), "x"];
    strings.extend(members.iter().map(String::as_str));
    let mut head = vec![2, 1, name.len() as u32 + 1, 2, gid, count];
    head.extend(members.iter().map(|member| member.len() as u32 + 1));
    by_nscd(2, &name, &head, &strings)
}

/// An enumeration of the short file from its beginning: REWIND, so many times GET, END.
pub fn enumeration(count: u32) -> Vec<Question> {
    let bare = |opcode: u8| Question { request: vec![opcode], reply: DONE.to_vec() };
    let next = |n| Question { request: vec![PWD_GET], ..User::of_few(n).question() };
    let middle = (1..=count).map(next);
    std::iter::once(bare(PWD_REWIND)).chain(middle).chain([bare(PWD_END[0])]).collect()
}

/// The same, where the server answers that the client may ask its own sources.
pub fn last_of_few_by_nscd_off() -> Question {
    let name = User::of_few(FEW).name;
    by_nscd(0, &name, &[2, u32::MAX, 0, 0, u32::MAX, u32::MAX, 0, 0, 0], &[])
}

/// Asks for the last user of the long file.
pub fn last_of_many() -> Question {
    of_sized(MANY)
}

/// Asks for the user in that line, from 1 on, of a file of [`Files::sized`].
pub fn of_sized(line: u32) -> Question {
    User::of_many(line).question()
}

/// The same by uid.
pub fn id_of_sized(line: u32) -> Question {
    User::of_many(line).question_by_id()
}

/// Asks for somebody who is neither in the short file nor mapped.
pub fn nobody() -> Question {
    let request = Question::by_name(PWD_GETBYNAME, "nosuch", &[], &[]).request;
    Question { request, reply: vec![255] }
}

/// A directory with the files and the applets' names in it, removed at the end.
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Writes the files.
    pub fn create(nssbox: &Path) -> io::Result<Files> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("nssbox-speed-{}-{}", std::process::id(), now.as_nanos());
        // Not under the target directory: a socket's path holds 107 bytes.
        let root = std::env::temp_dir().join(name);
        // New, and so ours: what is there already is neither written to nor removed.
        fs::create_dir(&root)?;
        let files = Files { root };
        for dir in ["bin", "few", "many", "home"] {
            fs::create_dir(files.root.join(dir))?;
        }
        for applet in [
            "getent",
            "ipcserver",
            "nscd",
            "userdb",
            "nsscache",
            "nsssd-cache",
            "nsssd-map",
            "nsssd-nslcd",
            "nsssd-switch",
            "nsssd-unix",
        ] {
            symlink(nssbox, files.applet(applet))?;
        }
        let few: String = (1..=FEW).map(|number| User::of_few(number).line()).collect();
        let many: String = (1..=MANY).map(|number| User::of_many(number).line()).collect();
        fs::write(files.few().join("passwd"), few)?;
        fs::write(files.many().join("passwd"), many)?;
        let groups: String = [FEW, SOME, MANY].map(group_line).concat();
        fs::write(files.many().join("group"), &groups)?;
        fs::write(files.few().join("group"), groups)?;
        files.write_map()?;
        Ok(files)
    }

    /// A map with a registry of many names, all with homes as far as they are asked about.
    fn write_map(&self) -> io::Result<()> {
        let root = self.root.display();
        fs::write(self.root.join("key"), "000102030405060708090a0b0c0d0e0f\n")?;
        fs::set_permissions(self.root.join("key"), fs::Permissions::from_mode(0o400))?;
        let config = format!(
            "nssmap 2\nkey {root}/key\nregistry {root}/registry\npin mapped {MAPPED}\nmap *\n  \
             template u:x:1879048192+134217728:=::{root}/home:/bin/sh\n  require home\n"
        );
        fs::write(self.map(), config)?;
        let line = |n: u32| format!("{} user{n:06} 1700000000\n", MAPPED + n);
        let lines: String = (1..REGISTERED).map(line).collect();
        fs::write(self.root.join("registry"), format!("{lines}{MAPPED} mapped 1700000000\n"))?;
        fs::create_dir(self.root.join("home/mapped"))
    }

    /// The configuration of the map.
    pub fn map(&self) -> PathBuf {
        self.root.join("nssmap.conf")
    }

    /// Asks the map for a uid of its registry.
    pub fn mapped_uid(&self) -> Question {
        let mut request = vec![PWD_GETBYUID];
        request.extend(MAPPED.to_be_bytes());
        let home = format!("{}/home/mapped", self.root.display());
        let strings = ["mapped", "x", "", &home, "/bin/sh"];
        let len: usize = strings.iter().map(|string| string.len() + 1).sum();
        let reply = Question::by_name(0, "", &[MAPPED, MAPPED, len as u32], &strings).reply;
        Question { request, reply }
    }

    /// A directory whose passwd file has so many users, made when it is asked for first. What it
    /// holds counts as unchanged.
    pub fn sized(&self, lines: u32, full: bool) -> io::Result<PathBuf> {
        let dir = self.root.join(format!("lines-{lines}"));
        if !dir.exists() {
            fs::create_dir(&dir)?;
            let text: String = (1..=lines).map(|number| User::of_many(number).line()).collect();
            fs::write(dir.join("passwd"), text)?;
            if full {
                settle(&dir.join("passwd"))?;
            }
        }
        Ok(dir)
    }

    /// Waits until the files count as unchanged.
    pub fn settle(&self) -> io::Result<()> {
        let files = ["few/passwd", "many/passwd", "many/group"];
        files.iter().try_for_each(|file| settle(&self.root.join(file)))
    }

    /// A folder of its own.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.root.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    }

    /// The path of an applet.
    pub fn applet(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// Holds the short passwd file.
    pub fn few(&self) -> PathBuf {
        self.root.join("few")
    }

    /// Holds the short passwd file with `x` for each password; the second is a file with lines of
    /// shadow for them, and the third an nsswitch.conf that lists nobody else for shadow.
    pub fn few_x(&self) -> io::Result<[PathBuf; 3]> {
        let dir = self.root.join("few-x");
        let paths = [dir.clone(), dir.join("shadow"), dir.join("nsswitch.conf")];
        if !dir.exists() {
            fs::create_dir(&dir)?;
            let few = fs::read_to_string(self.few().join("passwd"))?;
            fs::write(dir.join("passwd"), few.replace(":*:", ":x:"))?;
            fs::write(dir.join("group"), "")?;
            let line = |number| format!("{}:*:20000:0:99999:7:::\n", User::of_few(number).name);
            fs::write(&paths[1], (1..=FEW).map(line).collect::<String>())?;
            fs::write(&paths[2], "passwd: files\nshadow: files\n")?;
            [&dir.join("passwd"), &paths[1], &paths[2]].into_iter().try_for_each(|p| settle(p))?;
        }
        Ok(paths)
    }

    /// Holds the long passwd file and the groups.
    pub fn many(&self) -> PathBuf {
        self.root.join("many")
    }

    /// The path of a socket that nobody has bound yet: a server killed leaves its own behind.
    pub fn socket(&self, name: &str) -> OsString {
        let socket = self.root.join(name);
        let _ = fs::remove_file(&socket);
        socket.into_os_string()
    }
}

impl Files {
    /// A fresh directory for another server: its configuration, and its socket to be.
    pub fn peer_directory(&self, config: &str) -> io::Result<PathBuf> {
        let dir = self.root.join("peer");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        // unscd gives root up: it must be able to make its socket here.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        fs::write(dir.join("nscd.conf"), config)?;
        fs::write(dir.join("group"), "root:x:0:\n")?;
        fs::write(dir.join("nsswitch.conf"), "passwd: files\ngroup: files\n")?;
        Ok(dir)
    }
}

/// Waits until a file counts as unchanged. The change time is what matters, and it cannot be set
/// back.
fn settle(file: &Path) -> io::Result<()> {
    let changed = fs::metadata(file)?.ctime().try_into().unwrap_or(0);
    let trusted = SystemTime::UNIX_EPOCH + Duration::from_secs(changed) + SETTLED;
    while let Ok(left) = trusted.duration_since(SystemTime::now()) {
        std::thread::sleep(left.max(Duration::from_millis(1)));
    }
    Ok(())
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
