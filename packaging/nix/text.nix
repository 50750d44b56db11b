# Words about texts, with builtins alone.
rec {
  join = builtins.concatStringsSep;

  lines = text: builtins.filter builtins.isString (builtins.split "\n" text);

  strip = text: builtins.head (builtins.match "[[:space:]]*(.*[^[:space:]]|)[[:space:]]*" text);

  characters = text: builtins.genList (at: builtins.substring at 1 text) (builtins.stringLength text);

  quoted = builtins.toJSON;

  hasPrefix = start: text: builtins.substring 0 (builtins.stringLength start) text == start;

  replaced = what: by: builtins.replaceStrings [ what ] [ by ];

  lower =
    let
      upper = characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
      small = characters "abcdefghijklmnopqrstuvwxyz";
    in
    builtins.replaceStrings upper small;

  # How many letters must be put in, left out or changed to make one word of the other.
  distance = one: other:
    let
      least = a: b: if a < b then a else b;
      columns = characters other;
      row = above: letter:
        let
          cell = { left, diagonal, cells }: at:
            let
              over = builtins.elemAt above (at + 1);
              change = if builtins.elemAt columns at == letter then 0 else 1;
              here = least (least (left + 1) (over + 1)) (diagonal + change);
            in
            { left = here; diagonal = over; cells = cells ++ [ here ]; };
          first = builtins.head above + 1;
          start = { left = first; diagonal = builtins.head above; cells = [ first ]; };
        in
        (builtins.foldl' cell start (builtins.genList (at: at) (builtins.length columns))).cells;
      last = builtins.foldl' row
        (builtins.genList (at: at) (builtins.length columns + 1))
        (characters one);
    in
    builtins.elemAt last (builtins.length columns);

  # The known word that was probably meant, or null.
  near = known: word:
    let
      bare = text: replaced "_" "" (replaced "-" "" (lower text));
      ranked = builtins.sort (a: b: a.far < b.far)
        (map (name: { inherit name; far = distance (bare word) (bare name); }) known);
      best = builtins.head ranked;
      long = builtins.stringLength word;
      bound = if long >= 9 then long / 3 else 2;
    in
    if known != [ ] && best.far <= bound && best.far < long then best.name else null;
}
