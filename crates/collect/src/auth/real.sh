# What real programs write: sshd, sudo, su, and the tools of shadow, through rsyslog. In a namespace of its own, with copies of /etc, /home,
# /dev and /run, so that nothing is left of its users. Arguments: a folder, a port. The log is log/auth.log in the folder.
set -e
folder=$1 port=$2
mount --make-rprivate /
mkdir -p "$folder/etc" "$folder/home" "$folder/dev" "$folder/log"
cp -a /etc/. "$folder/etc/"
mount --bind "$folder/etc" /etc
mount --bind "$folder/home" /home
mount -t tmpfs tmpfs /run
# Who fails need not wait here.
sed -i 's/pam_unix.so/pam_unix.so nodelay/' /etc/pam.d/common-auth
sed -i 's/delay=[0-9]*/delay=0/' /etc/pam.d/login
mkdir -p /run/sshd
mount -t tmpfs tmpfs "$folder/dev"
for node in null zero full random urandom tty; do
    touch "$folder/dev/$node"
    mount --bind "/dev/$node" "$folder/dev/$node"
done
mkdir "$folder/dev/pts" "$folder/dev/shm"
mount --bind /dev/pts "$folder/dev/pts"
ln -s pts/ptmx "$folder/dev/ptmx"
ln -s /proc/self/fd "$folder/dev/fd"
mount --move "$folder/dev" /dev

cat > "$folder/rsyslog.conf" <<END
module(load="imuxsock" SysSock.Name="/dev/log" SysSock.RateLimit.Interval="0")
auth,authpriv.* action(type="omfile" file="$folder/log/auth.log" template="RSYSLOG_TraditionalFileFormat")
END
/usr/sbin/rsyslogd -n -f "$folder/rsyslog.conf" -i "$folder/rsyslog.pid" &
log=$!
trap 'kill $log $sshd 2> /dev/null || :' EXIT
while [ ! -S /dev/log ]; do sleep 0.05; done

groupadd attestg
useradd -m -s /bin/sh attest1
useradd -m attest2
usermod -a -G attestg attest1
usermod -s /bin/dash attest2
gpasswd -a attest2 attestg
gpasswd -d attest2 attestg
echo 'attest1:right-one' | chpasswd
echo 'attest2:right-two' | chpasswd
passwd -l attest2
passwd -u attest2
chage -E 2030-01-01 attest2

ssh-keygen -q -t ed25519 -N '' -f "$folder/host_key"
ssh-keygen -q -t ed25519 -N '' -C alice@desk -f "$folder/user_key"
ssh-keygen -lf "$folder/user_key.pub" | cut -d ' ' -f 2 > "$folder/fingerprint"
mkdir -m 700 /home/attest1/.ssh
cp "$folder/user_key.pub" /home/attest1/.ssh/authorized_keys
chown -R attest1 /home/attest1
cat > "$folder/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey $folder/host_key
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxAuthTries 2
DenyUsers attest2
END
/usr/sbin/sshd -D -f "$folder/sshd_config" &
sshd=$!
printf '#!/bin/sh\necho "$ANSWER"\n' > "$folder/askpass"
chmod 755 "$folder/askpass"
login() {
    DISPLAY=x SSH_ASKPASS="$folder/askpass" SSH_ASKPASS_REQUIRE=force ssh -F none -p "$port" -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@" < /dev/null
}
for try in 1 2 3 4 5 6 7 8 9 10; do ssh-keyscan -t ed25519 -p "$port" 127.0.0.1 > /dev/null 2>&1 && break; sleep 0.2; done
login -i "$folder/user_key" -o IdentitiesOnly=yes attest1@127.0.0.1 true
ANSWER=right-one login -o PubkeyAuthentication=no attest1@127.0.0.1 true
ANSWER=hunter2 login -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 attest1@127.0.0.1 true || :
ANSWER=hunter2 login -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=3 attest1@127.0.0.1 true || :
ANSWER=hunter2 login -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 typed-secret@127.0.0.1 true || :
ANSWER=right-two login -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 attest2@127.0.0.1 true || :

echo 'attest1 ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/attest
chmod 440 /etc/sudoers.d/attest
su attest1 -c 'cd / && sudo -u attest2 /bin/echo --password=hunter2 > /dev/null'
echo right-two | su attest2 -c 'cd / && sudo -S /usr/bin/id' 2> /dev/null || :
echo hunter2 | su attest1 -c 'su attest2 -c true' 2> /dev/null || :

cp /etc/passwd "$folder/passwd"
login -o PubkeyAcceptedAlgorithms=ssh-rsa -o HostKeyAlgorithms=ssh-rsa attest1@127.0.0.1 true 2> /dev/null || :
userdel -r attest2 2> /dev/null
userdel -r attest1 2> /dev/null || userdel -f attest1 2> /dev/null
groupdel attestg
sleep 1
