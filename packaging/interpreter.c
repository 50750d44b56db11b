/* A bare Python for payloads: it shares libpython and the standard library with the executable. */

#include <Python.h>

int
main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
