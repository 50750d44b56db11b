# Whether settings fit the configuration's JSON schema, and make sense: { schema, at } → { check, … }; check settings → messages.
#
# Each message names the option, what was found, what was expected and how to mend it; no message, no error.
# Builtins alone, so that a test, the NixOS module and its options ask the same words. Patterns of the schema are
# used as they stand there. A keyword that this file does not know is an error: nothing is waved through.
{ schema, at ? "services.mnedge.settings" }:

let
  text = import ./text.nix;
  inherit (builtins) all any attrNames concatLists elem elemAt filter head isAttrs isBool isFloat isInt isList
    isString length match typeOf;

  keywords = [
    "$defs" "$ref" "$schema" "additionalProperties" "anyOf" "default" "description" "enum" "items" "maximum"
    "minimum" "nullable" "pattern" "properties" "required" "title" "type"
  ];

  # $ref → what it names; anyOf with null → the other one, `nullable`.
  resolved = kind:
    let
      unknown = filter (keyword: !(elem keyword keywords)) (attrNames kind);
      named = schema."$defs".${head (match "#/\\$defs/(.*)" kind."$ref")};
      others = filter (one: (one.type or "") != "null") kind.anyOf;
    in
    if unknown != [ ] then throw "check.nix cannot read ${text.join ", " unknown} in the schema of the configuration"
    else if kind ? "$ref" then resolved named
    else if kind ? anyOf && length others == 1
    then resolved (head others) // { nullable = length others != length kind.anyOf; }
    else kind;

  inside = path: key:
    let shown = if match "[A-Za-z_][A-Za-z0-9_'-]*" key != null then key else text.quoted key; in
    "${path}.${shown}";

  shown = value:
    if isString value then text.quoted value
    else if isBool value || isInt value || isFloat value then builtins.toJSON value
    else if isAttrs value then "a set"
    else if isList value then "a list"
    else if value == null then "null"
    else "a ${typeOf value}";

  number = value: isInt value || isFloat value;

  types = {
    string = { fits = isString; expected = "a text"; };
    boolean = { fits = isBool; expected = "true or false"; };
    integer = { fits = isInt; expected = "a whole number"; };
    number = { fits = number; expected = "a number"; };
    array = { fits = isList; expected = "a list"; };
    object = { fits = value: isAttrs value && value.type or null != "derivation"; expected = "a set"; };
  };
  typesOf = kind:
    if kind ? anyOf then concatLists (map (one: typesOf (resolved one)) kind.anyOf)
    else if isList kind.type then kind.type
    else [ kind.type ];

  # `^\s*\d+…$` → what builtins.match wants.
  matches = pattern: value:
    match (builtins.replaceStrings [ "\\s" "\\d" "^" "$" ] [ "[[:space:]]" "[0-9]" "" "" ] pattern) value != null;

  # How texts with a pattern are told, by a piece of the pattern.
  forms =
    let
      known = [
        { piece = "ms|s|m"; of = "a duration: 500ms, 30s, 5m, 1h, 2d, or a number of seconds"; example = "30s"; }
        { piece = "KMGT"; of = "a size: 16Ki, 10Mi, 1Gi, or a number of bytes"; example = "10Mi"; }
      ];
      has = pattern: one: text.replaced one.piece "" pattern != pattern;
    in
    pattern:
    let found = filter (has pattern) known; in
    if found == [ ] then { of = "a text like ${pattern}"; example = null; } else head found;

  # What fits, in words.
  expectedOf = kind:
    if kind ? enum then "one of ${text.join ", " (map text.quoted kind.enum)}"
    else if kind ? pattern then (forms kind.pattern).of
    else if kind ? anyOf then text.join " or " (map (one: expectedOf (resolved one)) kind.anyOf)
    else text.join " or " (map (type: types.${type}.expected) (typesOf kind));

  hintOf = kind: value:
    let
      wants = any (type: (kind ? type || kind ? anyOf) && elem type (typesOf kind));
      bare = isString value && match "-?[0-9]+(\\.[0-9]+)?|true|false" value != null;
    in
    if typeOf value == "path" then "put it in quotes: a bare path is copied to where everybody can read it"
    else if isString value && kind ? enum && text.near kind.enum value != null
    then "did you mean ${text.quoted (text.near kind.enum value)}?"
    else if kind ? enum then "write one of them in quotes"
    else if kind ? pattern && (forms kind.pattern).example != null
    then "write for example ${text.quoted (forms kind.pattern).example}"
    else if bare && wants [ "integer" "number" "boolean" ] then "take the quotes away"
    else if (number value || isBool value) && wants [ "string" ] then "put it in quotes"
    else if isString value && wants [ "array" ] then "write [ ${text.quoted value} ]"
    else if kind ? default then "left out it is ${builtins.toJSON kind.default}"
    else "";

  told = path: found: expected: hint: "${path}: ${found}"
    + (if expected == "" then "" else "; expected ${expected}")
    + (if hint == "" then "" else "; ${hint}");

  misfit = path: kind: value: [ (told path "is ${shown value}" (expectedOf kind) (hintOf kind value)) ];

  bounds = path: kind: value:
    if !(number value) then [ ]
    else if kind ? minimum && value < kind.minimum
    then [ (told path "is ${shown value}" "${toString kind.minimum} or more" "") ]
    else if kind ? maximum && value > kind.maximum
    then [ (told path "is ${shown value}" "${toString kind.maximum} or less" "") ]
    else [ ];

  members = path: kind: value:
    let
      properties = kind.properties or { };
      rest = kind.additionalProperties or { };
      closed = rest == false;
      unknown = key:
        let near = text.near (attrNames properties) key; in
        told (inside path key) "nobody knows this option" ""
          (if near != null then "did you mean ${near}?" else "there are ${text.join ", " (attrNames properties)}");
      member = key:
        if properties ? ${key} then problems (inside path key) properties.${key} value.${key}
        else if closed then [ (unknown key) ]
        else problems (inside path key) rest value.${key};
      lacking = filter (key: !(value ? ${key})) (kind.required or [ ]);
    in
    concatLists (map member (attrNames value))
    ++ map (key: told path "lacks ${key}" "" "add ${key} = …;") lacking;

  items = path: kind: value:
    concatLists (builtins.genList
      (number: problems "${path}[${toString number}]" (kind.items or { }) (elemAt value number))
      (length value));

  # What can stand in a file at all: no functions, no paths.
  anything = path: value:
    if isAttrs value then members path { } value
    else if isList value then items path { } value
    else if value == null || isString value || isBool value || number value then [ ]
    else [ (told path "is ${shown value}" "a text, a number, true, false, a list or a set" (hintOf { } value)) ];

  problems = path: written: value:
    let
      kind = resolved written;
      # `either`: the alternative of the value's own type tells best.
      fitting = filter (one: any (type: types.${type}.fits value) (typesOf one)) (map resolved kind.anyOf);
    in
    if value == null && kind.nullable or false then [ ]
    else if kind ? anyOf then
      if fitting == [ ] then misfit path kind value else problems path (head fitting) value
    else if kind ? enum then if elem value kind.enum then [ ] else misfit path kind value
    else if !(kind ? type) then anything path value
    else if !(any (type: types.${type}.fits value) (typesOf kind)) then misfit path kind value
    else if isString value && kind ? pattern && !(matches kind.pattern value) then misfit path kind value
    else if isAttrs value then members path kind value
    else if isList value then items path kind value
    else bounds path kind value;

  # HOST:PORT → { host, port, loopback }, or null.
  address = written:
    let
      found = if isString written then match "(.*):0*([0-9]{1,5})" written else null;
      host = head found;
      port = builtins.fromJSON (elemAt found 1);
      named = match "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+]" host != null;
    in
    if found == null || !named || port > 65535 then null
    else { inherit host port; loopback = match "localhost|127(\\.[0-9]+){3}|\\[::1]" host != null; };

  # What fits its type and is not meant all the same; `mnedge config check` knows more.
  senseless = settings:
    let
      listen = settings.relay.listen or { };
      tls = listen.tls or null;
      given = filter (name: listen.${name} or null != null);
      listener = name:
        let
          written = listen.${name};
          found = address written;
          path = "${at}.relay.listen.${name}";
        in
        if found == null
        then [ (told path "is ${shown written}" "HOST:PORT with a port from 0 to 65535"
          "for example 127.0.0.1:8080; 0.0.0.0:8080 for every interface") ]
        else if !found.loopback && tls == null && !(listen.allowPlain or false)
        then [ (told path "others can reach ${written}, and what goes there would not be encrypted" ""
          "give ${at}.relay.listen.tls = { }, or set allowPlain if the network is trusted") ]
        else [ ];
      absolute = path: value:
        if value == null || text.hasPrefix "/" value then [ ]
        else [ (told "${at}.${path}" "is ${shown value}" "a full path" "begin it with /") ];
    in
    concatLists (map listener (given [ "http" "grpc" ]))
    ++ absolute "relay.listen.socket" (listen.socket or null)
    ++ absolute "data_dir" (settings.data_dir or null)
    ++ absolute "runs_root" (settings.runs_root or null)
    ++ (if tls != null && (tls.certFile or null == null) != (tls.keyFile or null == null)
      then [ (told "${at}.relay.listen.tls" "has only one of its two files" "certFile and keyFile, or neither"
        "without them the node makes its own certificate") ]
      else [ ]);

  check = settings:
    let misfits = problems at schema settings; in
    if misfits != [ ] then misfits else senseless settings;
in
{
  inherit address check expectedOf resolved;
  fits = kind: value: problems "" kind value == [ ];
}
