"""Work out the position from the last one. Nobody sends this step a message: the ledger starts it
because its parent failed, so the voyage stands in the config of the run.
"""

import json
import math
import os

from step import begin, finish

METRES_PER_MILE = 1852
MILES_PER_DEGREE = 60
DRIFT = 0.05


def reckoned(voyage):
    miles = voyage["speed_kn"] * voyage["minutes"] / 60
    course = math.radians(voyage["course_deg"])
    latitude, longitude = voyage["last_position"]
    north = miles * math.cos(course) / MILES_PER_DEGREE
    east = miles * math.sin(course) / MILES_PER_DEGREE / math.cos(math.radians(latitude))
    position = [round(latitude + north, 4), round(longitude + east, 4)]
    return position, round(miles * METRES_PER_MILE * DRIFT)


def main():
    begin()
    voyage = json.loads(os.environ["MN_BLUEPRINT_CONFIG_JSON"])["inputs"]["payload"]
    position, uncertainty_m = reckoned(voyage)
    fix = {"position": position, "method": "dead reckoning", "uncertainty_m": uncertainty_m}
    finish(fix, "fix_reckoned")


main()
