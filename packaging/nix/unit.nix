# The systemd unit of a node, as `mnedge install` writes it: settings → text.
#
# There is one text, the template that mnedge carries; this fills in the same places in the same way as
# mnedge/installation/unit.py, and a test holds the two against each other. Builtins alone.
{ template ? builtins.readFile ../../mnedge/installation/mnedge.service
, program ? "/usr/local/bin/mnedge"
, configFile ? "/etc/mnedge/config.yaml"
, user ? "mnedge"
, group ? "mnedge"
, dataDir ? "/var/lib/mnedge"
  # The data directory as systemd makes it: a folder below /var/lib.
, state ? "mnedge"
  # All else is read-only; a folder that is not there is passed over.
, writable ? [ "/var/lib/mnedge" ]
  # Names and values in this order: [ { name, value } ].
, environment ? [
    { name = "MN_HOME"; value = "/var/lib/mnedge/mn"; }
    { name = "MNEDGE_RUNTIME_DIR"; value = "/opt/mnedge/runtime"; }
  ]
  # Which addresses the node and its workers may reach, and be reached from.
, networks ? [ "any" ]
, kill ? "/bin/kill"
}:

let
  text = import ./text.nix;

  line = value:
    if builtins.match "[^[:cntrl:]]+" value != null then value
    else throw "${text.quoted value} cannot stand in a systemd unit; choose a name without line breaks and control characters";

  # A word as systemd reads it: specifiers told apart, quoted where it has to be.
  word = value:
    let told = text.replaced "%" "%%" (line value); in
    if builtins.match "[]A-Za-z0-9_./:=@%+,~[$-]+" told != null then told
    else "\"${builtins.replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] told}\"";

  words = values: text.join " " (map word values);

  # A word of a command line, where $ begins a variable.
  command = value: word (text.replaced "$" "$$" value);

  places = {
    EXEC = command program;
    CONFIG = command configFile;
    USER = line user;
    GROUP = line group;
    DATA_DIR = word dataDir;
    STATE = word state;
    WRITABLE = words (map (folder: "-${folder}") writable);
    ENVIRONMENT = words (map ({ name, value }: "${name}=${value}") environment);
    NETWORKS = words networks;
    KILL = command kill;
  };

  names = builtins.attrNames places;
in
builtins.replaceStrings (map (name: "@${name}@") names) (map (name: places.${name}) names) template
