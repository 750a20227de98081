// Where Node-API's functions are found: not in a node.exe, as the linker was told, but in the program that loaded the
// addon, which Electron and others name otherwise.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
// After windows.h, which it needs.
#include <delayimp.h>

#include <cstring>

static FARPROC WINAPI on_delay_load(unsigned event, DelayLoadInfo* info) {
  if (event != dliNotePreLoadLibrary || ::_stricmp(info->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(::GetModuleHandleW(nullptr));
}

extern "C" {
PfnDliHook __pfnDliNotifyHook2 = on_delay_load;
}
