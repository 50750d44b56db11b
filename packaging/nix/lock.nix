# What pyproject.toml asks for and the locks pin, read from their texts:
# { pyproject, brought, locks } → { python, build, dependencies, brought, extras, pinned, normal, unmet }.
#
# `brought` is the text of packaging/lean.in: what the shipped program brings for plugins beside its own
# dependencies. A requirement is { name, attribute, extras, conditions, minimum, pinned }: `attribute` is
# how a package set calls it (the normalised name), `conditions` are [ { operator, version } ], `minimum`
# the version of `>=` or null, `pinned` the versions in the locks (several, where platforms differ).
{ pyproject, brought ? "", locks }:

let
  text = import ./text.nix;
  project = (builtins.fromTOML pyproject).project;
  built = (builtins.fromTOML pyproject).build-system;

  normal = name:
    let
      dashed = text.lower (builtins.replaceStrings [ "_" "." ] [ "-" "-" ] name);
      parts = builtins.filter (part: builtins.isString part && part != "") (builtins.split "-" dashed);
    in
    text.join "-" parts;

  parts = separator: written:
    builtins.filter (part: part != "")
      (map text.strip (builtins.filter builtins.isString (builtins.split separator written)));

  condition = whole: written:
    let found = builtins.match "(>=|<=|==|!=|~=|>|<)[[:space:]]*([0-9][0-9A-Za-z.!+-]*)" written; in
    if found == null
    then throw "${text.quoted whole}: ${text.quoted written} is no condition on a version that lock.nix can read; write >=, <=, ==, !=, ~=, > or < and a version"
    else { operator = builtins.elemAt found 0; version = builtins.elemAt found 1; };

  requirement = written:
    let
      found = builtins.match "([A-Za-z0-9][A-Za-z0-9._-]*)[[:space:]]*(\\[([^]]*)])?([^;]*)(;.*)?" written;
      field = builtins.elemAt found;
      conditions = map (condition written) (parts "," (field 3));
      floors = builtins.filter (one: one.operator == ">=") conditions;
      attribute = normal (field 0);
    in
    if found == null then throw "${text.quoted written} is no requirement"
    else if field 4 != null
    then throw "${text.quoted written}: lock.nix reads no markers; a dependency that some platforms lack belongs in an extra"
    else {
      inherit attribute conditions;
      name = field 0;
      extras = if field 2 == null then [ ] else map normal (parts "," (field 2));
      minimum = if floors == [ ] then null else (builtins.head floors).version;
      pinned = pinned.${attribute} or [ ];
    };

  locked = wanted:
    if wanted.pinned != [ ] then wanted
    else throw "no lock pins ${wanted.name}, which is asked for; make the lock anew with the command at its head";

  distinct = builtins.foldl' (seen: one: if builtins.elem one seen then seen else seen ++ [ one ]) [ ];

  # name==version, perhaps with a marker; what is indented or a remark belongs to the line before.
  pins = builtins.filter (found: found != null)
    (map (builtins.match "([A-Za-z0-9][A-Za-z0-9._-]*)==([^ ;\\\\]+).*") (text.lines (text.join "\n" locks)));
  pinned = builtins.mapAttrs (_: group: distinct (map (pin: pin.version) group)) (builtins.groupBy (pin: pin.attribute)
    (map (pin: { attribute = normal (builtins.elemAt pin 0); version = builtins.elemAt pin 1; }) pins));

  # 2.0rc1 → [ "2.0" "rc" "1" ], else null.
  early = builtins.match "([0-9.]*[0-9])\\.?(a|b|rc|dev)([0-9]+)";

  # As compareVersions orders it right: 2.0.0 is 2.0, and 2.0rc1 comes before both.
  comparable = version:
    let
      parts = early version;
      zeros = builtins.match "([0-9.]*[1-9]|0)(\\.0)+" version;
    in
    if parts != null then text.join "." [ (comparable (builtins.head parts)) "pre" (text.join "." (builtins.tail parts)) ]
    else if zeros != null then builtins.head zeros
    else version;

  meets = version: condition:
    let
      wanted = condition.version;
      order = builtins.compareVersions (comparable version) (comparable wanted);
      isBefore = early version != null && comparable (builtins.head (early version)) == comparable wanted;
      series = builtins.match "(.*\\.)[^.]+" wanted;
    in
    {
      ">=" = order >= 0;
      "<=" = order <= 0;
      ">" = order > 0;
      "<" = order < 0 && !isBefore;
      "==" = order == 0;
      "!=" = order != 0;
      "~=" = order >= 0 && series != null && text.hasPrefix (builtins.head series) version;
    }.${condition.operator};
in
{
  inherit pinned normal;

  dependencies = map (written: locked (requirement written)) project.dependencies;
  brought = map (written: locked (requirement written))
    (builtins.filter (line: line != "" && !(text.hasPrefix "-" line))
      (map (line: text.strip (builtins.head (builtins.split "#" line))) (text.lines brought)));
  # Extras and what builds it are not in the lock unless they are also tools of ours.
  extras = builtins.mapAttrs (_: map requirement) project.optional-dependencies;
  build = map requirement built.requires;
  python = map (condition "requires-python") (parts "," project.requires-python);

  # The conditions that a version does not meet, as text; empty: it will do.
  unmet = version: conditions:
    text.join "," (map (one: "${one.operator}${one.version}")
      (builtins.filter (one: !(builtins.isString version) || !(meets version one)) conditions));
}
