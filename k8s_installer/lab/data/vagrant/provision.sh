#!/bin/sh
# Makes a bare CentOS 7 box what `k8s-installer apply` expects: repositories that still answer, a key that may log in,
# nothing in the way. Runs once, as root, on the box.
set -eu

# The mirrors of CentOS 7 went away on 2024-06-30. The box knows the vault, where old releases are kept, from
# CentOS-Vault.repo; 7.9.2009 is the last one.
cd /etc/yum.repos.d
if [ -z "$VAULT" ]; then
  VAULT=$(sed -n 's|^baseurl=\(.*\)/7\.[0-9.]*/os/.*|\1|p' CentOS-Vault.repo | tail -n 1)
fi
if [ -z "$VAULT" ]; then
  echo "CentOS-Vault.repo of this box names no vault: set LAB_VAULT" >&2
  exit 1
fi
for section in os updates extras; do
  printf '[vault-%s]\nname=CentOS 7.9.2009 %s\nbaseurl=%s/7.9.2009/%s/$basearch/\nenabled=1\ngpgcheck=1\n' \
    "$section" "$section" "$VAULT" "$section"
  printf 'gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7\n'
  # one version of Kubernetes only, or yum would mix them
  if [ "$section" = extras ] && [ -n "$REPOSITORY" ]; then echo 'exclude=kubernetes*'; fi
  echo
done > lab-vault.repo
for old in CentOS-*.repo; do mv "$old" "$old.disabled"; done
if [ -n "$REPOSITORY" ]; then
  printf '[lab]\nname=lab\nbaseurl=%s\nenabled=1\ngpgcheck=0\n' "$REPOSITORY" > lab.repo
fi

id ops > /dev/null 2>&1 || useradd -m ops
id guest > /dev/null 2>&1 || useradd -m guest
echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
if [ -n "$PUBLIC_KEY" ]; then
  for user in root ops guest; do
    home=$(getent passwd "$user" | cut -d: -f6)
    install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
    grep -qxF "$PUBLIC_KEY" "$home/.ssh/authorized_keys" 2> /dev/null || echo "$PUBLIC_KEY" >> "$home/.ssh/authorized_keys"
    chown "$user:$user" "$home/.ssh/authorized_keys"
    chmod 600 "$home/.ssh/authorized_keys"
    restorecon -R "$home/.ssh" 2> /dev/null || :
  done
fi

# What the installer's preflight would ask for
setenforce 0 2> /dev/null || :
sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config
systemctl disable firewalld > /dev/null 2>&1 || :
systemctl stop firewalld > /dev/null 2>&1 || :
swapoff -a
sed -i '/\sswap\s/s/^/#/' /etc/fstab
