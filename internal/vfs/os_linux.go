package vfs

import "golang.org/x/sys/unix"

func renameNoReplace(oldName, newName string) error {
	for {
		err := unix.Renameat2(unix.AT_FDCWD, oldName, unix.AT_FDCWD, newName, unix.RENAME_NOREPLACE)
		if err != unix.EINTR {
			return err
		}
	}
}
